"""Mail through Amazon SES: SendEmail of its API version 2, written, signed and read by aioboto3.

What aioboto3 wants to send goes through the `Send` that all providers share, and not over
connections of its own: with its guard, its deadline and its proof of what was sent. It tries once,
as a retry of its own would send a mail again whose first answer was lost.

The mail goes out as we compose it (`core/mail.py`). SES has no idempotency key; our id is a tag of
the message, which its events carry.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, Self

from botocore.exceptions import BotoCoreError, ClientError

from core import mail
from core.errors import BadAddress
from core.http import HttpRequest, HttpResponse, Send
from core.providers.notifications import wire
from core.providers.notifications.ses import SLUG, TAG, Config
from core.providers.notifications.wire import Around
from core.providers.protocols import Begin, Deferred, Outcome, Refused, Sent, Unknown
from core.templates import Channel, Message

REFERENCE_MAX: Final = 256
#: What is about the account, and no fault of the message.
OURS: Final = frozenset(
    {
        "AccountSuspendedException",
        "LimitExceededException",
        "MailFromDomainNotVerifiedException",
        "SendingPausedException",
    }
)


class NoAnswer(Exception):
    """None came; `outcome` is what that means."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class Call:
    """One call of the API: how it is sent, and what was answered."""

    def __init__(self, send: Send, begin: Begin) -> None:
        self._send = send
        self._begin = begin
        self.answer: HttpResponse | None = None

    async def carry(self, request: HttpRequest) -> HttpResponse:
        """The answer; NoAnswer."""
        answer = await wire.ask(self._send, request, self._begin)
        if not isinstance(answer, HttpResponse):
            raise NoAnswer(answer)
        self.answer = answer
        return answer


# The call that this task makes: a client serves many, and hands nothing of ours on.
_call: ContextVar[Call] = ContextVar("call")


class Transport:
    """What aiobotocore's client has in place of connections."""

    def __init__(self, *, timeout: tuple[float, float], **_: object) -> None:
        self._timeout_s = timeout[1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, request: Any) -> Any:
        """Of the protocol: see `aiobotocore.httpsession`."""
        from aiobotocore.awsrequest import AioAWSResponse

        answer = await _call.get().carry(
            HttpRequest(
                method=request.method,
                url=request.url,
                purpose=SLUG,
                headers=_headers(request.headers),
                body=request.body,
                timeout_s=self._timeout_s,
            )
        )
        return AioAWSResponse(request.url, answer.status, answer.headers, _Read(answer.body))


class _Read:
    """A body that is there already."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body


class Ses:
    """The channel."""

    slug: Final = SLUG
    channels: Final[tuple[Channel, ...]] = ("email",)

    def __init__(self, config: Config, around: Around) -> None:
        self._config = config
        self._around = around
        self._client: Any = None
        self._opening = asyncio.Lock()

    def takes(self, message: Message) -> bool:
        """Any mail."""
        return message.channel == "email"

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once; see `NotificationChannel`."""
        try:
            wanted = self._wanted(message)
        except BadAddress as error:
            return Refused(str(error), "address")
        call = Call(send, begin)
        try:
            reference, code = await self._ask(call, wanted)
        except NoAnswer as end:
            return end.outcome
        except BotoCoreError as error:
            return Deferred(f"{SLUG} cannot be asked: {type(error).__name__}")
        assert call.answer is not None
        return self._judged(call.answer, reference, code)

    async def _ask(self, call: Call, wanted: dict[str, Any]) -> tuple[object, str]:
        """The mail's id, or the code of an error, as far as they can be read in the answer."""
        client = await self._opened()
        token = _call.set(call)
        try:
            answer = await client.send_email(**wanted)
        except ClientError as error:
            return None, str(error.response.get("Error", {}).get("Code", ""))
        except Exception:
            # An answer that is none stops its reader in many ways; that one has come counts.
            if call.answer is None:
                raise
            return None, ""
        finally:
            _call.reset(token)
        return answer.get("MessageId"), ""

    async def _opened(self) -> Any:
        """The client; made when it is first needed, and not on the loop, as that reads files."""
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(asyncio.run, self._open())
        return self._client

    async def _open(self) -> Any:
        from aiobotocore.config import AioConfig

        config = self._config
        made = _session().client(
            "sesv2",
            region_name=config.region,
            aws_access_key_id=config.access_key_id,
            aws_secret_access_key=config.secret_access_key,
            aws_session_token=config.session_token or None,
            endpoint_url=config.base_url,
            config=AioConfig(
                http_session_cls=Transport,
                read_timeout=config.timeout_s,
                retries={"total_max_attempts": 1, "mode": "standard"},
                # Those of the environment are for the storage.
                ignore_configured_endpoint_urls=True,
            ),
        )
        # It holds nothing that would have to be closed.
        return await contextlib.AsyncExitStack().enter_async_context(made)

    def _wanted(self, message: Message) -> dict[str, Any]:
        recipient = mail.mailbox(message.address)
        wanted = {
            "Destination": {"ToAddresses": [recipient.address]},
            "Content": {"Raw": {"Data": mail.compose(message, self._around.sender, recipient)}},
            "EmailTags": [{"Name": TAG, "Value": message.id}],
        }
        if self._config.configuration_set:
            wanted["ConfigurationSetName"] = self._config.configuration_set
        return wanted

    def _judged(self, answer: HttpResponse, reference: object, code: str) -> Outcome:
        if answer.status == 200:
            if isinstance(reference, str) and 0 < len(reference) <= REFERENCE_MAX:
                return Sent(reference)
            return Unknown(f"{SLUG} answered 200 without an id")
        if code in OURS:
            return Deferred(f"{SLUG} answered {code}")
        # Without a code of its own the reader has the status for one.
        code = "" if code == str(answer.status) else code
        return wire.verdict(SLUG, answer, self._around.now_s(), code)


@functools.cache
def _session() -> Any:
    """What reads aioboto3's files, once."""
    # Heavy, and of no use to whoever sends no mail through SES.
    import aioboto3

    return aioboto3.Session()


def _headers(given: Mapping[str, str | bytes]) -> dict[str, str]:
    """All but who calls: the name that all calls of ours have tells less of this machine."""
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in given.items()
        if name.lower() != "user-agent"
    }
