"""What the doctor says of the mail server."""

from __future__ import annotations

import pytest

from core.settings import Settings
from deploy.commands import doctor
from tests.workers.mailservers import Silent, listening


def settings(**mail: str) -> Settings:
    return Settings(
        database_url="postgresql://nowhere/",
        redis_url="redis://nowhere",
        queue_url="redis://nowhere",
        **mail,  # type: ignore[arg-type] # settings of text
    )


async def test_without_a_mail_server_the_folder_is_named() -> None:
    [finding] = await doctor._mail(settings(outbox_dir="/var/outbox"))
    assert finding.seen == "no mail server: it lands in /var/outbox"
    assert finding.advice == ""


async def test_a_mail_server_that_cannot_be_reached_is_found() -> None:
    async with listening(Silent) as port:
        url = f"smtp://stampgate:s3cret@127.0.0.1:{port}"
        [finding] = await doctor._mail(settings(mail_url=url))
        assert "s3cret" not in finding.seen
    with pytest.raises(ConnectionRefusedError):
        await doctor._mail(settings(mail_url=url))


@pytest.mark.parametrize(
    ("name", "value"),
    [("mail_url", "smtp://u:p@mail.example?tls=off"), ("mail_from", "nobody\r\nBcc: eve@x.de")],
)
def test_a_bad_setting_of_mail_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"STAMPGATE_{name.upper()}"):
        settings(**{name: value})
