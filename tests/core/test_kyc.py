import pytest

from core import kyc
from core.errors import InvalidRequest
from core.kyc import Document


def pan(number: str) -> Document:
    return Document(kind="pan", number=number, name=" Asha   Verma ")


@pytest.mark.parametrize("number", ["ABCPE1234F", "abcpe1234f", " ABCPE 1234 F", "ABCPE-1234-F"])
def test_a_pan_has_one_spelling(number: str) -> None:
    assert kyc.checked(pan(number)) == Document(kind="pan", number="ABCPE1234F", name="Asha Verma")


@pytest.mark.parametrize(
    "number",
    [
        "ABCPE1234",
        "ABCPE12345",
        "ABCXE1234F",
        "ABCPE1234FF",
        "1BCPE1234F",
        "ABCPE१२३४F",
        "АBCPE1234F",
    ],
)
def test_what_is_no_pan_is_refused(number: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        kyc.checked(pan(number))
    assert refusal.value.errors is not None
    assert refusal.value.errors[0]["pointer"] == "/number"
    assert number not in str(refusal.value)


def test_a_pan_is_from_india() -> None:
    with pytest.raises(InvalidRequest):
        kyc.checked(Document(kind="pan", number="ABCPE1234F", name="Asha", country="DE"))


def test_another_document_is_letters_and_digits() -> None:
    given = Document(kind="passport", number="c01x-00t47", name="Asha", country="DE")
    assert kyc.checked(given).number == "C01X00T47"
    with pytest.raises(InvalidRequest):
        kyc.checked(Document(kind="passport", number="C01X_00T47", name="Asha", country="DE"))


def test_the_same_number_of_another_country_is_another_document() -> None:
    one = Document(kind="passport", number="C01X00T47", name="Asha", country="DE")
    other = Document(kind="passport", number="C01X00T47", name="Asha", country="FR")
    assert kyc.identity(one) != kyc.identity(other)
    renamed = Document(kind="passport", number="C01X00T47", name="A. Verma", country="DE")
    assert kyc.identity(one) == kyc.identity(renamed)


@pytest.mark.parametrize(
    ("text", "shown"), [("ABCPE1234F", "••••234F"), ("A1B2", "••••B2"), ("ABCDE", "••••DE")]
)
def test_a_mask_leaves_less_than_it_hides(text: str, shown: str) -> None:
    assert kyc.masked(text) == shown


def test_a_document_does_not_show_itself() -> None:
    assert "ABCPE" not in repr(pan("ABCPE1234F"))
