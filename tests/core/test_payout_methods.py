import pytest

from core import payout_methods
from core.errors import InvalidRequest
from core.payout_methods import Bank, Upi


def upi(vpa: str) -> Upi:
    return Upi(vpa=vpa, name="Asha  Verma")


def bank(number: str = "50100012345678", ifsc: str = "HDFC0001234") -> Bank:
    return Bank(account_number=number, ifsc=ifsc, name="Asha Verma")


def test_a_upi_address_has_one_spelling() -> None:
    assert payout_methods.checked(upi(" Asha.V-1@OkBank ")) == Upi(
        vpa="asha.v-1@okbank", name="Asha Verma"
    )


@pytest.mark.parametrize(
    "vpa", ["asha", "@okbank", "a@okbank", "asha@", "asha@ok.bank", "as ha@okbank", "аsha@okbank",
            "asha@okbank\n@x", "asha@1bank"]
)  # fmt: skip
def test_what_is_no_upi_address_is_refused(vpa: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        payout_methods.checked(upi(vpa))
    assert refusal.value.errors is not None
    assert refusal.value.errors[0]["pointer"] == "/vpa"


def test_an_account_has_one_spelling() -> None:
    assert payout_methods.checked(bank("5010 0012-3456 78", " hdfc0001234 ")) == bank()


@pytest.mark.parametrize(
    ("number", "ifsc", "pointer"),
    [
        ("12345", "HDFC0001234", "/account_number"),
        ("1" * 19, "HDFC0001234", "/account_number"),
        ("12345678a", "HDFC0001234", "/account_number"),
        ("१२३४५६७८९", "HDFC0001234", "/account_number"),
        ("50100012345678", "HDFC1001234", "/ifsc"),
        ("50100012345678", "HDF00001234", "/ifsc"),
        ("50100012345678", "HDFC000123", "/ifsc"),
    ],
)
def test_what_is_no_account_is_refused(number: str, ifsc: str, pointer: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        payout_methods.checked(bank(number, ifsc))
    assert refusal.value.errors is not None
    assert refusal.value.errors[0]["pointer"] == pointer
    assert number not in str(refusal.value)


def test_only_what_its_owner_knows_anyway_is_shown() -> None:
    assert payout_methods.masked(bank()) == "••••5678"
    assert payout_methods.masked(upi("asha@okbank")) == "••••ha@okbank"
    assert payout_methods.masked(Upi(vpa="9876543210@upi", name="Asha")) == "••••3210@upi"
    assert "asha" not in repr(upi("asha@okbank"))
    assert "5010" not in repr(bank())


def test_a_name_does_not_make_it_another_account() -> None:
    one = Bank(account_number="50100012345678", ifsc="HDFC0001234", name="A")
    assert payout_methods.identity(one) == payout_methods.identity(bank())
    assert payout_methods.identity(one) != payout_methods.identity(bank(ifsc="HDFC0001235"))
