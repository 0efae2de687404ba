"""The settings: one frozen Struct, read once at start from `STAMPGATE_*` variables.

An empty variable counts as not set. A secret may stand in a file instead, named by the variable
with `_FILE` at its end; reading those files at start is the only input that `core` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from core import mail, smtp, storage
from core.errors import BadSetting, BadStorage
from core.templates import Channel

PREFIX: Final = "STAMPGATE_"
SECRETS: Final = (
    *("database_url", "migrate_url", "flush_url", "redis_url", "queue_url"),
    *("storage_url", "mail_url"),
)

DAY_S: Final = 86_400
MIB: Final = 1 << 20

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Count = Annotated[int, msgspec.Meta(ge=1)]
#: Requests a minute; 0 is no limit.
Rate = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Processes = Annotated[int, msgspec.Meta(ge=1, le=256)]
PostgresUrl = Annotated[str, msgspec.Meta(pattern=r"^(postgres(ql)?://|$)")]
RedisUrl = Annotated[str, msgspec.Meta(pattern=r"^(redis|rediss|unix)://")]
HttpUrl = Annotated[str, msgspec.Meta(pattern=r"^(https?://[^/?#]+|$)")]
MailUrl = Annotated[str, msgspec.Meta(pattern=r"^(smtps?://|$)")]
Slugs = Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9_]+(,[a-z0-9_]+)*)?$")]
StrictTransport = Annotated[
    str, msgspec.Meta(pattern=r"^(max-age=\d{1,10}(; includeSubDomains)?(; preload)?)?$(?!\n)")
]
Seconds = Annotated[str, msgspec.Meta(pattern=r"^\d{1,7}(,\d{1,7})*$")]


def _variable(field: str) -> str:
    return PREFIX + field.upper()


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(one.strip()) for one in text.split(",") if one)


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename=_variable):
    """What an operator may choose. Units last; an empty text means that there is none."""

    database_url: PostgresUrl
    redis_url: RedisUrl
    queue_url: RedisUrl
    migrate_url: PostgresUrl = ""
    flush_url: PostgresUrl = ""
    replica_wait: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0
    durability: Literal["always", "everysec"] = "always"

    gateway_host: str = "127.0.0.1"
    gateway_port: Port = 8080
    gateway_processes: Processes = 1
    gateway_metrics_port: Port = 9080
    gateway_url: HttpUrl = ""
    redirector_host: str = "127.0.0.1"
    redirector_port: Port = 8081
    redirector_processes: Processes = 1
    redirector_metrics_port: Port = 9081
    redirector_url: HttpUrl = ""
    workers_metrics_port: Port = 9082
    metrics_host: str = "127.0.0.1"
    body_limit_bytes: Count = 1 * MIB
    strict_transport_security: StrictTransport = ""
    keepalive_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 75.0
    shutdown_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    keyring_file: str = ".stampgate/keyring.json"
    providers_file: str = ""
    storage_url: str = "file:.stampgate/storage"
    export_ttl_s: Count = 7 * DAY_S
    outbound_allow: str = ""
    trusted_proxies: str = ""
    admin_networks: str = ""
    rate_anonymous_per_minute: Rate = 100
    rate_caller_per_minute: Rate = 1_000
    sign_in_failures_max: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 5
    sign_in_window_s: Annotated[int, msgspec.Meta(ge=1, le=DAY_S)] = 900
    country_header: str = ""
    geoip_file: str = ""

    access_ttl_s: Annotated[int, msgspec.Meta(ge=60, le=DAY_S)] = 900
    refresh_ttl_s: Annotated[int, msgspec.Meta(ge=3600, le=400 * DAY_S)] = 7 * DAY_S
    session_max_s: Annotated[int, msgspec.Meta(ge=3600, le=3660 * DAY_S)] = 90 * DAY_S
    invitation_ttl_s: Count = 3 * DAY_S
    hashing_pending_max: Count = 64
    code_block_hourly: Annotated[int, msgspec.Meta(ge=0)] = 20
    code_network_hourly: Annotated[int, msgspec.Meta(ge=0)] = 100

    click_deadline_ms: Count = 25
    click_batch_max: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 512
    click_retention_days: Count = 400
    link_cache_max: Count = 250_000
    fast_lane: bool = True
    prefetch_status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 503
    premint_ttl_s: Count = 30 * DAY_S
    spool_dir: str = ".stampgate/spool"
    spool_segment_bytes: Annotated[int, msgspec.Meta(ge=4096)] = 16 * MIB
    spool_max_bytes: Annotated[int, msgspec.Meta(ge=4096)] = 1024 * MIB

    award_pending_max: Count = 10_000
    award_pending_bytes_max: Count = 64 * MIB
    award_deadline_ms: Count = 2_000
    idempotency_ttl_s: Count = DAY_S
    stream_high_water: Count = 1_000_000

    pg_pool_size: Count = 8
    pg_statement_cache: Annotated[int, msgspec.Meta(ge=0)] = 256
    audit_retention_days: Annotated[int, msgspec.Meta(ge=31, le=36_600)] = 1_096
    payment_retention_days: Annotated[int, msgspec.Meta(ge=31, le=36_600)] = 2_922
    postback_retention_days: Annotated[int, msgspec.Meta(ge=1, le=3_660)] = 90
    click_patience_days: Annotated[int, msgspec.Meta(ge=1, le=30)] = 7
    flush_batch_max: Count = 20_000
    flush_idle_ms: Count = 100
    jobs_threads: Count = 8
    webhook_schedule_s: Seconds = "0,5,300,1800,7200,18000,36000,36000"
    webhook_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 15.0

    mail_url: MailUrl = ""
    mail_from: str = "no-reply@localhost"
    mail_timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    email_providers: Slugs = ""
    sms_providers: Slugs = ""
    whatsapp_providers: Slugs = ""
    push_providers: Slugs = ""
    outbox_dir: str = ".stampgate/outbox"
    notification_schedule_s: Seconds = "0,5,30,120,600,1800,7200,21600"

    def __post_init__(self) -> None:
        # Parsed here so that a bad value stops the start.
        for field in ("trusted_proxies", "admin_networks"):
            try:
                _networks(getattr(self, field))
            except ValueError as error:
                raise ValueError(f"{_variable(field)}: {error}") from error
        if self.access_ttl_s > self.refresh_ttl_s:
            name, limit = _variable("access_ttl_s"), _variable("refresh_ttl_s")
            raise ValueError(f"{name}: Expected at most {limit} ({self.refresh_ttl_s})")
        try:
            self.storage_place  # noqa: B018 - as above
        except BadStorage as error:
            raise ValueError(f"{_variable('storage_url')}: {error}") from None
        if self.spool_segment_bytes > self.spool_max_bytes:
            name, limit = _variable("spool_segment_bytes"), _variable("spool_max_bytes")
            raise ValueError(f"{name}: Expected at most {limit} ({self.spool_max_bytes})")
        self._check_mail()

    def _check_mail(self) -> None:
        for field, check, value in (
            ("mail_url", smtp.server, self.mail_url),
            ("mail_from", mail.sender, self.mail_from),
        ):
            try:
                if value:
                    check(value)
            except ValueError as error:
                raise ValueError(f"{_variable(field)}: {error}") from error

    def __repr__(self) -> str:
        """Without values: the URLs carry passwords."""
        return "Settings(…)"

    @property
    def migration_url(self) -> str:
        """Where `stampgate migrate` connects, as the owner of the tables."""
        return self.migrate_url or self.database_url

    @property
    def flusher_url(self) -> str:
        """A direct connection for the flusher, past any transaction pooler."""
        return self.flush_url or self.database_url

    @property
    def public_redirector_url(self) -> str:
        """The base of links as members see them, without a slash at its end."""
        default = f"http://{self.redirector_host}:{self.redirector_port}"
        return (self.redirector_url or default).rstrip("/")

    @property
    def public_gateway_url(self) -> str:
        """The base of the API as browsers and providers see it, without a slash at its end."""
        default = f"http://{self.gateway_host}:{self.gateway_port}"
        return (self.gateway_url or default).rstrip("/")

    @property
    def webhooks_url(self) -> str:
        """Where providers report to, without a slash at its end; empty when they cannot reach us,
        as they have not been told a public address.
        """
        return f"{self.public_gateway_url}/webhooks" if self.gateway_url else ""

    def providers_of(self, channel: Channel) -> tuple[str, ...]:
        """Who sends the messages of a channel, in order; none if that is left to the file."""
        named = {
            "email": self.email_providers,
            "sms": self.sms_providers,
            "whatsapp": self.whatsapp_providers,
            "push": self.push_providers,
        }
        return tuple(filter(None, named[channel].split(",")))

    @property
    def trusted_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The proxies whose forwarding headers are believed."""
        return _networks(self.trusted_proxies)

    @property
    def networks_of_admins(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Where the platform's staff may come from; from anywhere, if there is none."""
        return _networks(self.admin_networks)

    @property
    def storage_place(self) -> storage.Place:
        """Where files go."""
        return storage.parse(self.storage_url)

    @property
    def webhook_delays_s(self) -> tuple[int, ...]:
        """Seconds to wait before each attempt to deliver a webhook."""
        return tuple(int(text) for text in self.webhook_schedule_s.split(","))

    @property
    def notification_delays_s(self) -> tuple[int, ...]:
        """Seconds to wait before each attempt to send a notification."""
        return tuple(int(text) for text in self.notification_schedule_s.split(","))


def load(environ: Mapping[str, str]) -> Settings:
    """Decode `environ`, or raise BadSetting naming the first variable that is missing or wrong."""
    values = {name: value for name, value in environ.items() if value}
    for field in SECRETS:
        _read_secret(values, _variable(field))
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise BadSetting(_explain(str(error))) from None


def _read_secret(values: dict[str, str], name: str) -> None:
    path = values.get(f"{name}_FILE")
    if path is None:
        return
    if name in values:
        raise BadSetting(f"{name}_FILE: {name} is given as well, only one of them can be")
    try:
        values[name] = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"{name}_FILE: cannot read {path}: {error}") from None


def _explain(message: str) -> str:
    """Put the variable's name first: "Expected `int` - at `$.X`" becomes "X: Expected `int`"."""
    problem, _, name = message.partition(" - at `$.")
    if name:
        return f"{name.rstrip('`')}: {problem}"
    missing = problem.removeprefix("Object missing required field ")
    return problem if missing == problem else f"{missing.strip('`')}: is required"
