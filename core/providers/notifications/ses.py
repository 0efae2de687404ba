"""Mail through Amazon SES: how it is set up. `workers/channels/ses.py` speaks to it, and
`core/providers/reports/ses.py` reads what it reports.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from core.providers.notifications import wire
from core.providers.notifications.wire import Base, Given

SLUG: Final = "ses"
#: The tag of a message that has our id.
TAG: Final = "notification"


class Config(wire.Config, frozen=True, kw_only=True):
    """An IAM user that may `ses:SendRawEmail`. `configuration_set` names where events go, and
    `topic_arn` the topic of SNS by which they come to us; `sns_hosts` are for tests.
    """

    region: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}$(?!\n)")]
    access_key_id: Given
    secret_access_key: Given
    session_token: str = ""
    configuration_set: str = ""
    topic_arn: str = ""
    sns_hosts: tuple[str, ...] = ()
    base_url: Base | None = None
