"""Built-in texts in English, the language that all others fall back to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.templates import Texts

EMAIL: Final[Mapping[str, Texts]] = {
    "sign_in_code": Texts(
        subject="Your sign-in code for {program}",
        text="""\
Your code to sign in to {program}:

    {code}

It is good for {minutes} minutes. Nobody of {program} will ever ask you for it.
If you did not want to sign in, ignore this message.
""",
    ),
    "verify_contact": Texts(
        subject="Confirm your address for {program}",
        text="""\
Your code to confirm this address for {program}:

    {code}

It is good for {minutes} minutes. If you know nothing of it, ignore this message.
""",
    ),
    "reset_password": Texts(
        subject="A new password for {program}",
        text="""\
Your code to set a new password for {program}:

    {code}

It is good for {minutes} minutes. If you did not ask for it, ignore this message: your password stays as it is.
""",
    ),
    "invite_operator": Texts(
        subject="You are invited to work on {program}",
        text="""\
An account was made for you on {program}. Set your password with this code:

    {code}

It is good for {hours} hours.
""",
    ),
    "already_registered": Texts(
        subject="You have an account on {program} already",
        text="""\
Somebody tried to register on {program} with this address, which has an account already.
If it was you, sign in, or ask for a new password. If not, there is nothing that you need to do.
""",
    ),
    "password_changed": Texts(
        subject="Your password for {program} was changed",
        text="""\
Your password for {program} was changed. If it was not you, set a new one now.
""",
    ),
    "second_factor_on": Texts(
        subject="Two-step sign-in for {program} is on",
        text="""\
Signing in to {program} takes a code from your authenticator app from now on.
If it was not you who turned this on, write to {program}.
""",
    ),
    "second_factor_off": Texts(
        subject="Two-step sign-in for {program} is off",
        text="""\
Signing in to {program} takes only your password from now on.
If it was not you who turned this off, set a new password now.
""",
    ),
    "contact_changed": Texts(
        subject="Your address for {program} was changed",
        text="""\
Your account on {program} has another mail address now, in place of this one.
If it was not you who changed it, write to {program} now.
""",
    ),
    "sign_in_added": Texts(
        subject="There is a new way to sign in to {program}",
        text="""\
A new contact, or an account elsewhere, now opens your account on {program}.
If it was not you who added it, write to {program} now.
""",
    ),
    "break_glass": Texts(
        subject="Emergency access to {program}",
        text="""\
Platform staff ({operator}) took emergency access to {program} for {minutes} minutes.

Reason: {reason}

All that is done meanwhile is in your audit log.
""",
    ),
    "export_ready": Texts(
        subject="Your data from {program}",
        text="""\
What {program} has stored about you is ready:

{url}

The link is good for {hours} hours. Who has it can read your data: do not pass it on.
""",
    ),
    "withdrawal_requested": Texts(
        subject="Your withdrawal of {amount} was requested",
        text="""\
You asked {program} to pay you {amount}. The money is set aside until somebody has looked at it.
If it was not you, write to {program} now.
""",
    ),
    "withdrawal_approved": Texts(
        subject="Your withdrawal of {amount} was approved",
        text="""\
Your withdrawal of {amount} from {program} was approved, and will be paid.
""",
    ),
    "withdrawal_rejected": Texts(
        subject="Your withdrawal of {amount} was not paid",
        text="""\
Your withdrawal of {amount} from {program} was not paid, and the money is available again.

Reason: {reason}
""",
    ),
    "withdrawal_paid": Texts(
        subject="Withdrawal processed! UTR: {utr}",
        text="""\
Withdrawal processed! UTR: {utr}

{program} has paid you {amount}. Your bank finds the payment by this UTR.
""",
    ),
    "cashback_credited": Texts(
        subject="{amount} cashback credited!",
        text="""\
{amount} cashback credited!

It is in your balance at {program} now, for you to withdraw.
""",
    ),
    "referral_rewarded": Texts(
        subject="You got {amount} for a referral!",
        text="""\
You got {amount} for a referral!

The first purchase was confirmed. The money is in your balance at {program} now, for you to withdraw.
""",
    ),
    "withdrawal_reversed": Texts(
        subject="Your withdrawal of {amount} came back",
        text="""\
Your bank sent the payment of {amount} back to {program}. The money is available again.
Check where you want to be paid before you ask for it again.
""",
    ),
    "claim_accepted": Texts(
        subject="Your claim for order {order} was accepted",
        text="""\
{program} has accepted your claim for order {order}: {amount} of cashback. It becomes yours for good when the
shop's network confirms the order, and is taken back if the network declines it.
""",
    ),
    "claim_sent": Texts(
        subject="Your claim for order {order} is being looked into",
        text="""\
{program} has asked the shop's network about order {order}. That can take some weeks.
""",
    ),
    "claim_inquiry": Texts(
        subject="Order {order} was not reported",
        text="""\
A customer of {program} clicked on the way to {merchant} and ordered, and the order was not reported.
Please look into it.

    order       {order}
    amount      {amount}
    ordered at  {ordered_at}
    click       {click}
    clicked at  {clicked_at}
    our claim   {claim}
""",
    ),
    "claim_rejected": Texts(
        subject="Your claim for order {order} was not accepted",
        text="""\
{program} cannot give you cashback for order {order}.

{reason}
""",
    ),
}

SMS: Final[Mapping[str, Texts]] = {
    "sign_in_code": Texts(
        text="{code} is your sign-in code for {program}, good for {minutes} minutes. Do not tell it to anyone."
    ),
    "verify_contact": Texts(
        text="{code} confirms this number for {program}. It is good for {minutes} minutes."
    ),
    "reset_password": Texts(
        text="{code} is your code for a new password on {program}, good for {minutes} minutes."
    ),
    "password_changed": Texts(
        text="Your password for {program} was changed. If it was not you, set a new one now."
    ),
    "contact_changed": Texts(
        text="Your account on {program} has another phone number now, in place of this one. If it was not you, write to them now."
    ),
    "sign_in_added": Texts(
        text="There is a new way to sign in to your account on {program}. If it was not you who added it, write to them now."
    ),
    "withdrawal_requested": Texts(
        text="You asked {program} to pay you {amount}. If it was not you, write to them now."
    ),
    "withdrawal_approved": Texts(
        text="Your withdrawal of {amount} from {program} was approved, and will be paid."
    ),
    "withdrawal_rejected": Texts(
        text="Your withdrawal of {amount} from {program} was not paid: {reason}"
    ),
    "withdrawal_paid": Texts(
        text="Withdrawal processed! UTR: {utr}. {program} has paid you {amount}."
    ),
    "cashback_credited": Texts(
        text="{amount} cashback credited! It is in your balance at {program} now."
    ),
    "referral_rewarded": Texts(
        text="You got {amount} for a referral! It is in your balance at {program} now."
    ),
    "withdrawal_reversed": Texts(
        text="The payment of {amount} by {program} came back from your bank, and is available again."
    ),
    "claim_accepted": Texts(
        text="{program} accepted your claim for order {order}: {amount}, until the shop's network confirms it."
    ),
    "claim_sent": Texts(
        text="{program} has asked the shop's network about order {order}. That can take some weeks."
    ),
    "claim_rejected": Texts(text="{program} cannot give you cashback for order {order}. {reason}"),
}

#: Why a claim was not accepted, by its reason.
CLAIM_REASONS: Final[Mapping[str, str]] = {
    "no_click": "We have no click of yours at this shop from before the order.",
    "not_an_offer": "Your click was not on an offer.",
    "order_before_click": "The order was placed before your click.",
    "order_too_late": "The order was placed too long after your click.",
    "claim_too_late": "Your click is too long ago.",
    "click_reported": "The shop's network has already reported a purchase for your click.",
    "order_reported": "The shop's network has already reported this order.",
    "no_cashback": "The offer gives no cashback for this order.",
    "declined": "The shop's network did not confirm the order.",
    "other": "Our records do not confirm the purchase.",
}

#: Why a withdrawal was not paid, by its state.
WITHDRAWAL_REASONS: Final[Mapping[str, str]] = {
    "failed": "The bank could not make the payment. Please check the account that it should go to.",
    "rejected": "The program did not accept it.",
}
