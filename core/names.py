"""What people and programs are called: one line, with nothing in it that is not seen.

Names stand in heads of mails, in text messages and in lists that somebody decides by. A line end
of any kind ends a header, and marks that turn the reading direction make one name look like
another. Joiners stay: Persian and Hindi are not written without them.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Name = Annotated[
    str,
    Meta(
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060-\u2069\ufeff]*$(?!\n)",
    ),
]
