"""Domains that give a mail address to anybody for some minutes, without a name or a password.

A start that anybody can look up; programs add their own lists.
"""

from __future__ import annotations

from typing import Final

DOMAINS: Final = frozenset(
    {
        *("10minutemail.com", "10minutemail.net", "20minutemail.com", "33mail.com"),
        *("anonbox.net", "burnermail.io", "crazymailing.com", "deadaddress.com"),
        *("discard.email", "discardmail.com", "discardmail.de", "dispostable.com"),
        *("emailondeck.com", "fakeinbox.com", "fakemailgenerator.com", "getairmail.com"),
        *("getnada.com", "grr.la", "guerrillamail.biz", "guerrillamail.com"),
        *("guerrillamail.de", "guerrillamail.info", "guerrillamail.net", "guerrillamail.org"),
        *("guerrillamailblock.com", "harakirimail.com", "inboxkitten.com", "incognitomail.org"),
        *("jetable.org", "mail-temp.com", "mailcatch.com", "maildrop.cc"),
        *("mailexpire.com", "mailinator.com", "mailinator.net", "mailnesia.com"),
        *("mailnull.com", "mailsac.com", "mintemail.com", "moakt.com"),
        *("mohmal.com", "mytemp.email", "mytrashmail.com", "nada.email"),
        *("pokemail.net", "sharklasers.com", "spam4.me", "spamgourmet.com"),
        *("spambog.com", "spamex.com", "temp-mail.io", "temp-mail.org"),
        *("tempail.com", "tempinbox.com", "tempmail.dev", "tempmail.net"),
        *("tempmailo.com", "tempr.email", "throwawaymail.com", "trash-mail.com"),
        *("trashmail.com", "trashmail.de", "trashmail.net", "trashmail.ws"),
        *("wegwerfmail.de", "wegwerfmail.net", "wegwerfmail.org", "yopmail.com"),
        *("yopmail.fr", "yopmail.net"),
    }
)
