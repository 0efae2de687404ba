import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import base32, clickid
from core.errors import BadClickId, ForgedClickId

KEY = bytes(range(32))
PROGRAM = "prg_01h455vb4pex5vsknk084sn02q"
NOW_MS = 1_700_000_000_000
TEST_VECTOR = "20e72zm00000e000000tqkffxn3228xn"

moments = st.integers(clickid.EPOCH_MS, clickid.EPOCH_MS + (1 << 44) - 1)


def minted() -> str:
    return clickid.Minter(1, KEY, boot=7).mint(NOW_MS, PROGRAM, 0xABCDEF)


def test_the_published_vector_holds() -> None:
    assert minted() == TEST_VECTOR
    assert TEST_VECTOR in (clickid.__doc__ or "")


@given(
    key_id=st.integers(0, 15),
    key=st.binary(min_size=16, max_size=32),
    boot=st.integers(0, 0xFFFF),
    sequence=st.integers(0, 0xFFFFFFFF),
    now_ms=moments,
    program_id=st.text(max_size=40),
    link_bits=st.integers(0, 0xFFFFFF),
)
def test_a_minted_id_carries_and_proves_its_parts(
    *,
    key_id: int,
    key: bytes,
    boot: int,
    sequence: int,
    now_ms: int,
    program_id: str,
    link_bits: int,
) -> None:
    minter = clickid.Minter(key_id, key, boot)
    minter.sequence = sequence
    text = minter.mint(now_ms, program_id, link_bits)
    click = clickid.verify(text.upper(), program_id, {key_id: key})
    assert click == clickid.decode(text)
    assert click.text == text
    assert click[:5] == (key_id, now_ms, boot, (sequence + 1) % (1 << 32), link_bits)


@given(st.integers(0, 159))
def test_a_flipped_bit_is_refused(bit: int) -> None:
    forged = base32.encode(base32.decode(minted()) ^ 1 << bit, clickid.LENGTH)
    with pytest.raises(ForgedClickId):
        clickid.verify(forged, PROGRAM, dict.fromkeys(range(16), KEY))


@pytest.mark.parametrize(
    ("program_id", "keys"),
    [(PROGRAM[:-1] + "r", {1: KEY}), (PROGRAM, {1: KEY[::-1]}), (PROGRAM, {2: KEY}), (PROGRAM, {})],
)
def test_another_program_or_key_is_refused(program_id: str, keys: dict[int, bytes]) -> None:
    with pytest.raises(ForgedClickId):
        clickid.verify(TEST_VECTOR, program_id, keys)


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEST_VECTOR[:-1],
        TEST_VECTOR + "0",
        TEST_VECTOR[:-1] + "i",
        TEST_VECTOR[:-1] + "L",
        TEST_VECTOR[:-1] + "o",
        TEST_VECTOR[:-1] + "u",
        "+" + TEST_VECTOR[1:],
        TEST_VECTOR[:10] + "_" + TEST_VECTOR[11:],
        TEST_VECTOR[:-1] + " ",
        TEST_VECTOR[:-1] + "\n",
        TEST_VECTOR[:-1] + "\u0661",
    ],
)
def test_what_is_not_a_click_id_is_refused(text: str) -> None:
    with pytest.raises(BadClickId):
        clickid.decode(text)
    with pytest.raises(ForgedClickId):
        clickid.verify(text, PROGRAM, {1: KEY})


def test_the_sequence_is_dense_and_wraps() -> None:
    minter = clickid.Minter(1, KEY, boot=7)
    sequences = [clickid.decode(minter.mint(NOW_MS, PROGRAM, 0)).sequence for _ in range(3)]
    assert sequences == [1, 2, 3]
    minter.sequence = 0xFFFFFFFF
    assert clickid.decode(minter.mint(NOW_MS, PROGRAM, 0)).sequence == 0


def test_the_clock_may_step_back() -> None:
    minter = clickid.Minter(1, KEY, boot=7)
    for now_ms in (NOW_MS, NOW_MS - 5000, NOW_MS):
        assert clickid.verify(minter.mint(now_ms, PROGRAM, 0), PROGRAM, {1: KEY}).ms == now_ms


@pytest.mark.parametrize(("key_id", "boot"), [(16, 0), (-1, 0), (0, 1 << 16)])
def test_a_minter_that_does_not_fit_is_refused(key_id: int, boot: int) -> None:
    with pytest.raises(OverflowError):
        clickid.Minter(key_id, KEY, boot)
