"""Every way in which Stampgate says no, with the word and the status that the client sees.

StampgateError                     500 internal_error
├── Refused                        400 bad_request
│   ├── InvalidJson                400 invalid_json
│   ├── IdempotencyKeyMissing      400 idempotency_key_missing
│   ├── IdempotencyKeyInvalid      400 idempotency_key_invalid
│   ├── SignInStateInvalid         400 sign_in_state_invalid
│   ├── SignInCodeInvalid          400 sign_in_code_invalid
│   ├── ProviderRefused            400 provider_refused
│   └── BodyTooLarge               413 body_too_large
├── Invalid                        422 invalid
│   ├── InvalidRequest             422 invalid_request
│   ├── InvalidDestination         422 invalid_destination
│   ├── RedirectNotAllowed         422 redirect_not_allowed
│   ├── InvalidTemplate            422 invalid_template
│   ├── CodeInvalid                422 code_invalid
│   ├── IdempotencyKeyReused       422 idempotency_key_reused
│   ├── AmountBelowMinimum         422 amount_below_minimum
│   └── PasswordTooWeak            422 password_too_weak
├── Unauthorized                   401 unauthorized
│   ├── SignInRefused              401 sign_in_refused
│   ├── TokenInvalid               401 token_invalid
│   ├── TokenRevoked               401 token_revoked
│   ├── MfaTokenInvalid            401 mfa_token_invalid
│   ├── TokenExpired               401 token_expired
│   ├── SessionTooOld              401 session_too_old
│   ├── ApiKeyInvalid              401 api_key_invalid
│   ├── SignatureInvalid           401 signature_invalid
│   └── ApiKeyExpired              401 api_key_expired
├── Forbidden                      403 forbidden
│   ├── OriginNotAllowed           403 origin_not_allowed
│   ├── InsufficientScope          403 insufficient_scope
│   ├── SignInDeclined             403 sign_in_declined
│   ├── ScopeNotYours              403 scope_not_yours
│   ├── SecondFactorRequired       403 second_factor_required
│   ├── AddressNotAllowed          403 address_not_allowed
│   └── ReportForged               403 report_forged
├── NotFound                       404 not_found
│   ├── ProgramNotFound            404 program_not_found
│   ├── MerchantNotFound           404 merchant_not_found
│   ├── OperatorNotFound           404 operator_not_found
│   ├── SessionNotFound            404 session_not_found
│   ├── InvitationNotFound         404 invitation_not_found
│   ├── RegistrationNotFound       404 registration_not_found
│   ├── MemberNotFound             404 member_not_found
│   ├── ContactNotFound            404 contact_not_found
│   ├── LinkNotFound               404 link_not_found
│   ├── CategoryNotFound           404 category_not_found
│   ├── OfferNotFound              404 offer_not_found
│   ├── ClickNotFound              404 click_not_found
│   ├── AwardNotFound              404 award_not_found
│   ├── HoldNotFound               404 hold_not_found
│   ├── EndpointNotFound           404 webhook_endpoint_not_found
│   ├── DeliveryNotFound           404 webhook_delivery_not_found
│   ├── TemplateNotFound           404 template_not_found
│   ├── NotificationNotFound       404 notification_not_found
│   ├── NoticeNotFound             404 notice_not_found
│   ├── DeadLetterNotFound         404 dead_letter_not_found
│   ├── ExportNotFound             404 export_not_found
│   ├── ErasureNotFound            404 erasure_not_found
│   ├── ProviderNotFound           404 provider_not_found
│   ├── IdentityNotFound           404 identity_not_found
│   ├── SubscriptionNotFound       404 push_subscription_not_found
│   ├── KycNotFound                404 kyc_not_found
│   ├── PayoutMethodNotFound       404 payout_method_not_found
│   ├── WithdrawalNotFound         404 withdrawal_not_found
│   ├── AdjustmentNotFound         404 adjustment_not_found
│   ├── NetworkNotFound            404 network_not_found
│   ├── PostbackNotFound           404 postback_not_found
│   ├── ConversionNotFound         404 conversion_not_found
│   ├── FraudRuleNotFound          404 fraud_rule_not_found
│   ├── FraudCaseNotFound          404 fraud_case_not_found
│   ├── FraudListNotFound          404 fraud_list_not_found
│   ├── ReclassificationNotFound   404 reclassification_not_found
│   ├── ClaimNotFound              404 claim_not_found
│   ├── ReferralCodeNotFound       404 referral_code_not_found
│   ├── ApiKeyNotFound             404 api_key_not_found
│   └── GlassNotFound              404 break_glass_not_found
├── MethodNotAllowed               405 method_not_allowed
├── Conflict                       409 conflict
│   ├── SlugTaken                  409 slug_taken
│   ├── CategorySlugTaken          409 category_slug_taken
│   ├── CategoryCycle              409 category_cycle
│   ├── CategoryInUse              409 category_in_use
│   ├── OfferNotActive             409 offer_not_active
│   ├── OfferInUse                 409 offer_in_use
│   ├── LinkInUse                  409 link_in_use
│   ├── ExternalIdTaken            409 external_id_taken
│   ├── MailTaken                  409 mail_taken
│   ├── IdentityTaken              409 identity_taken
│   ├── ProviderLinked             409 provider_already_linked
│   ├── LastSignInWay              409 last_sign_in_way
│   ├── ContactTaken               409 contact_taken
│   ├── LastOwner                  409 last_owner
│   ├── TotpEnabled                409 totp_enabled
│   ├── TotpNotEnrolled            409 totp_not_enrolled
│   ├── InsufficientBalance        409 insufficient_balance
│   ├── BalanceNegative            409 balance_negative
│   ├── BalanceTooLarge            409 balance_too_large
│   ├── HoldNotOpen                409 hold_not_open
│   ├── ReversalTooLarge           409 reversal_exceeds_award
│   ├── CaptureTooLarge            409 capture_exceeds_hold
│   ├── LimitReached               409 limit_reached
│   ├── BudgetExhausted            409 budget_exhausted
│   ├── ApiKeyRevoked              409 api_key_revoked
│   ├── NotResendable              409 not_resendable
│   ├── MemberBanned               409 member_banned
│   ├── KycNotVerified             409 kyc_not_verified
│   ├── TooManyPayoutMethods       409 too_many_payout_methods
│   ├── WithdrawalNotOpen          409 withdrawal_not_open
│   ├── AdjustmentNotOpen          409 adjustment_not_open
│   ├── ConversionNotOpen          409 conversion_not_open
│   ├── FraudCaseNotOpen           409 fraud_case_not_open
│   ├── ClaimNotOpen               409 claim_not_open
│   ├── ClaimTooEarly              409 claim_too_early
│   ├── TooManyClaims              409 too_many_claims
│   ├── OrderClaimed               409 order_claimed
│   ├── ClickClaimed               409 click_claimed
│   ├── ReferralsClosed            409 referrals_closed
│   ├── SelfReferral               409 self_referral
│   ├── AlreadyReferred            409 already_referred
│   ├── ReferralLoop               409 referral_loop
│   ├── ReferralTooLate            409 referral_too_late
│   ├── SecondApproverNeeded       409 second_approver_needed
│   └── RequestInFlight            409 request_in_flight
├── Gone                           410 gone
├── RateLimited                    429 rate_limited
├── ProviderUnavailable            502 provider_unavailable
├── Unavailable                    503 unavailable          nothing happened: retry is safe
│   ├── NotOpen                    503 not_open
│   ├── OverCapacity               503 over_capacity
│   └── StorageFailed              503 storage_failed
└── OutcomeUnknown                 503 outcome_unknown      retry only with the same key

Malformed (a ValueError)           never an answer by itself
├── BadSetting
├── BadKeyRing
├── BadField
├── BadTemplate
├── BadAddress
├── BadSubscription
├── BadReply
├── BadSignature
├── BadTask
├── BadStorage
├── BadTicket
├── BadId
└── BadClickId
    └── ForgedClickId

A class's docstring is its default detail, so Stampgate is never run with `python -OO`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from core.limits import Standing


class StampgateError(Exception):
    """Something went wrong on our side."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    default_retry_after_s: ClassVar[int | None] = None

    def __init_subclass__(cls, *, code: str, status: int | None = None) -> None:
        cls.code = code
        cls.title = code.replace("_", " ").capitalize()
        if status is not None:
            cls.status = status

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: list[dict[str, str]] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        self.detail = detail or self.__doc__ or self.title
        self.errors = errors
        self.retry_after_s = self.default_retry_after_s if retry_after_s is None else retry_after_s
        super().__init__(self.detail)


class Refused(StampgateError, code="bad_request", status=400):
    """The request cannot be understood."""


class InvalidJson(Refused, code="invalid_json"):
    """The body is not JSON."""


class IdempotencyKeyMissing(Refused, code="idempotency_key_missing"):
    """The header Idempotency-Key is missing."""


class IdempotencyKeyInvalid(Refused, code="idempotency_key_invalid"):
    """The Idempotency-Key must be 1 to 255 printable ASCII characters."""


class SignInStateInvalid(Refused, code="sign_in_state_invalid"):
    """The sign-in was not begun in this browser, took too long, or has ended; begin again."""


class SignInCodeInvalid(Refused, code="sign_in_code_invalid"):
    """The code is not one of this program and verifier, was used, or is too old; begin again."""


class ProviderRefused(Refused, code="provider_refused"):
    """The provider did not say who this is; begin again."""


class BodyTooLarge(Refused, code="body_too_large", status=413):
    """The body is larger than this route accepts."""


class Invalid(StampgateError, code="invalid", status=422):
    """The request is well-formed and makes no sense."""


class InvalidRequest(Invalid, code="invalid_request"):
    """The request does not have the shape that this route expects."""


class InvalidDestination(Invalid, code="invalid_destination"):
    """The destination is not one that a link may lead to."""


class RedirectNotAllowed(Invalid, code="redirect_not_allowed"):
    """The program's settings do not list this address among `sign_in_redirects`."""


class InvalidTemplate(Invalid, code="invalid_template"):
    """The text cannot serve as this template."""


class CodeInvalid(Invalid, code="code_invalid"):
    """The code is wrong, was used, or has expired; after five wrong ones ask for a new code."""


class IdempotencyKeyReused(Invalid, code="idempotency_key_reused"):
    """The Idempotency-Key was used before, with another body."""


class AmountBelowMinimum(Invalid, code="amount_below_minimum"):
    """The amount is less than the least that the program pays out."""


class PasswordTooWeak(Invalid, code="password_too_weak"):
    """The password is one of those that are tried first."""


class Unauthorized(StampgateError, code="unauthorized", status=401):
    """A valid credential is needed."""


class SignInRefused(Unauthorized, code="sign_in_refused"):
    """That is not how this account signs in, or there is no such account."""


class TokenInvalid(Unauthorized, code="token_invalid"):
    """The token is not one of ours."""


class TokenRevoked(Unauthorized, code="token_revoked"):
    """The session has ended; sign in again."""


class MfaTokenInvalid(Unauthorized, code="mfa_token_invalid"):
    """The sign-in was completed or given up; begin anew."""


class TokenExpired(Unauthorized, code="token_expired"):
    """The token has expired."""


class SignatureInvalid(Unauthorized, code="signature_invalid"):
    """The call was not signed by the provider, or not lately."""


class SessionTooOld(Unauthorized, code="session_too_old"):
    """The session has lasted as long as one may; sign in again."""


class ApiKeyInvalid(Unauthorized, code="api_key_invalid"):
    """The API key is not one of ours, or it was revoked."""


class ApiKeyExpired(Unauthorized, code="api_key_expired"):
    """The API key has expired."""


class Forbidden(StampgateError, code="forbidden", status=403):
    """The credential does not allow this."""


class OriginNotAllowed(Forbidden, code="origin_not_allowed"):
    """No program lets pages of this origin call the API."""


class InsufficientScope(Forbidden, code="insufficient_scope"):
    """The credential lacks the scope that this route needs."""


class SignInDeclined(Forbidden, code="sign_in_declined"):
    """The person did not agree to sign in with the provider."""


class ScopeNotYours(Forbidden, code="scope_not_yours"):
    """Nobody hands on what they may not do themselves."""


class SecondFactorRequired(Forbidden, code="second_factor_required"):
    """Administrators must sign in with a second factor."""


class AddressNotAllowed(Forbidden, code="address_not_allowed"):
    """Administrators are not let in from this address."""


class ReportForged(Forbidden, code="report_forged"):
    """The provider has not signed this report."""


class NotFound(StampgateError, code="not_found", status=404):
    """There is nothing here."""


class ProgramNotFound(NotFound, code="program_not_found"):
    """There is no such program."""


class MerchantNotFound(NotFound, code="merchant_not_found"):
    """There is no such merchant in this program."""


class OperatorNotFound(NotFound, code="operator_not_found"):
    """There is no such operator here."""


class SessionNotFound(NotFound, code="session_not_found"):
    """You have no such session."""


class InvitationNotFound(NotFound, code="invitation_not_found"):
    """The invitation was used, withdrawn or has expired."""


class RegistrationNotFound(NotFound, code="registration_not_found"):
    """The sign-up was confirmed already or has expired; sign up again."""


class MemberNotFound(NotFound, code="member_not_found"):
    """There is no such member in this program."""


class ContactNotFound(NotFound, code="contact_not_found"):
    """You have no such contact yet; say which address it is."""


class LinkNotFound(NotFound, code="link_not_found"):
    """There is no such link."""


class CategoryNotFound(NotFound, code="category_not_found"):
    """There is no such category in this program."""


class OfferNotFound(NotFound, code="offer_not_found"):
    """There is no such offer in this program."""


class ClickNotFound(NotFound, code="click_not_found"):
    """There is no such click in this program."""


class AwardNotFound(NotFound, code="award_not_found"):
    """There is no such award in this program."""


class HoldNotFound(NotFound, code="hold_not_found"):
    """There is no such hold in this program."""


class EndpointNotFound(NotFound, code="webhook_endpoint_not_found"):
    """There is no such webhook endpoint in this program."""


class DeliveryNotFound(NotFound, code="webhook_delivery_not_found"):
    """There is no such webhook delivery in this program."""


class TemplateNotFound(NotFound, code="template_not_found"):
    """There is no such template."""


class NotificationNotFound(NotFound, code="notification_not_found"):
    """There is no such notification in this program."""


class NoticeNotFound(NotFound, code="notice_not_found"):
    """There is no such notice in this program."""


class DeadLetterNotFound(NotFound, code="dead_letter_not_found"):
    """There is no such dead letter."""


class ProviderNotFound(NotFound, code="provider_not_found"):
    """No such provider is set up here."""


class SubscriptionNotFound(NotFound, code="push_subscription_not_found"):
    """No pushes go to such a device or browser."""


class IdentityNotFound(NotFound, code="identity_not_found"):
    """No identity of this provider is linked."""


class KycNotFound(NotFound, code="kyc_not_found"):
    """The member has handed in no document."""


class PayoutMethodNotFound(NotFound, code="payout_method_not_found"):
    """The member has no such payout method."""


class WithdrawalNotFound(NotFound, code="withdrawal_not_found"):
    """There is no such withdrawal in this program."""


class AdjustmentNotFound(NotFound, code="adjustment_not_found"):
    """There is no such adjustment in this program."""


class NetworkNotFound(NotFound, code="network_not_found"):
    """There is no such affiliate network in this program."""


class PostbackNotFound(NotFound, code="postback_not_found"):
    """There is no such postback in this program."""


class ConversionNotFound(NotFound, code="conversion_not_found"):
    """There is no such conversion in this program."""


class FraudRuleNotFound(NotFound, code="fraud_rule_not_found"):
    """There is no such fraud rule in this program."""


class FraudCaseNotFound(NotFound, code="fraud_case_not_found"):
    """There is no such fraud case in this program."""


class FraudListNotFound(NotFound, code="fraud_list_not_found"):
    """The program has no list of this name."""


class ReclassificationNotFound(NotFound, code="reclassification_not_found"):
    """There is no such reclassification in this program."""


class ClaimNotFound(NotFound, code="claim_not_found"):
    """There is no such claim in this program."""


class ReferralCodeNotFound(NotFound, code="referral_code_not_found"):
    """Nobody in this program has this code."""


class ApiKeyNotFound(NotFound, code="api_key_not_found"):
    """There is no such API key in this program."""


class GlassNotFound(NotFound, code="break_glass_not_found"):
    """There is no such break-glass access, or it has ended."""


class ExportNotFound(NotFound, code="export_not_found"):
    """There is no such export in this program."""


class ErasureNotFound(NotFound, code="erasure_not_found"):
    """There is no such erasure in this program."""


class MethodNotAllowed(StampgateError, code="method_not_allowed", status=405):
    """The path does not take this method."""

    def __init__(self, allow: Sequence[str]) -> None:
        self.allow = tuple(sorted(allow))
        super().__init__(f"The path takes {', '.join(self.allow)}.")


class Conflict(StampgateError, code="conflict", status=409):
    """The present state does not allow this."""


class SlugTaken(Conflict, code="slug_taken"):
    """Another link has this slug."""


class CategorySlugTaken(Conflict, code="category_slug_taken"):
    """Another category of the program has this slug."""


class CategoryCycle(Conflict, code="category_cycle"):
    """A category cannot stand under itself or under what is below it."""


class CategoryInUse(Conflict, code="category_in_use"):
    """Categories, merchants or offers are filed in this category; move them first."""


class OfferNotActive(Conflict, code="offer_not_active"):
    """The offer is not active now."""


class OfferInUse(Conflict, code="offer_in_use"):
    """The offer is no draft any more: clicks may refer to it. End it instead."""


class LinkInUse(Conflict, code="link_in_use"):
    """The link belongs to an offer; change the offer instead."""


class ExternalIdTaken(Conflict, code="external_id_taken"):
    """The external id is taken in this program."""


class MailTaken(Conflict, code="mail_taken"):
    """A member has this mail address; sign in as before, then link the provider."""


class IdentityTaken(Conflict, code="identity_taken"):
    """Another member of the program is linked with this identity."""


class ProviderLinked(Conflict, code="provider_already_linked"):
    """The member is linked with another identity of this provider; unlink that first."""


class LastSignInWay(Conflict, code="last_sign_in_way"):
    """Without this identity the member could not sign in any more."""


class ContactTaken(Conflict, code="contact_taken"):
    """The mail address or phone number belongs to somebody else."""


class LastOwner(Conflict, code="last_owner"):
    """There must be one active owner, and for the platform one active admin."""


class TotpEnabled(Conflict, code="totp_enabled"):
    """An authenticator app is in use; remove it first."""


class TotpNotEnrolled(Conflict, code="totp_not_enrolled"):
    """There is no authenticator app; enroll one first."""


class InsufficientBalance(Conflict, code="insufficient_balance"):
    """The member's balance is lower than the amount."""


class BalanceNegative(Conflict, code="balance_negative"):
    """The member's balance is negative after a reversal; the next awards repay it."""


class BalanceTooLarge(Conflict, code="balance_too_large"):
    """The balance would reach 2^53, beyond which it could not be counted exactly."""


class HoldNotOpen(Conflict, code="hold_not_open"):
    """The hold was captured, released or has expired."""


class ReversalTooLarge(Conflict, code="reversal_exceeds_award"):
    """The reversals of an award cannot exceed it."""


class CaptureTooLarge(Conflict, code="capture_exceeds_hold"):
    """A capture may not exceed what the hold has set aside."""


class LimitReached(Conflict, code="limit_reached"):
    """A limit of the program does not allow this award now."""


class BudgetExhausted(Conflict, code="budget_exhausted"):
    """The program's budget is used up."""


class ApiKeyRevoked(Conflict, code="api_key_revoked"):
    """The API key was revoked, which is for ever."""


class NotResendable(Conflict, code="not_resendable"):
    """The notification is under way or was sent, or what it said is no longer kept."""


class MemberBanned(Conflict, code="member_banned"):
    """The program has banned the member."""


class KycNotVerified(Conflict, code="kyc_not_verified"):
    """The document that says who the member is was not verified yet."""


class TooManyPayoutMethods(Conflict, code="too_many_payout_methods"):
    """The member has as many payout methods as there may be; delete one first."""


class AdjustmentNotOpen(Conflict, code="adjustment_not_open"):
    """The adjustment was decided already."""


class WithdrawalNotOpen(Conflict, code="withdrawal_not_open"):
    """The withdrawal has gone on since, and this step cannot be taken any more."""


class ConversionNotOpen(Conflict, code="conversion_not_open"):
    """The conversion's state does not allow this step."""


class FraudCaseNotOpen(Conflict, code="fraud_case_not_open"):
    """The case was decided already."""


class ClaimNotOpen(Conflict, code="claim_not_open"):
    """The claim has gone on since, and this step cannot be taken any more."""


class ClaimTooEarly(Conflict, code="claim_too_early"):
    """The network may still report the order; claim it later."""


class TooManyClaims(Conflict, code="too_many_claims"):
    """The member has filed as many claims in the last 30 days as the program allows."""


class OrderClaimed(Conflict, code="order_claimed"):
    """Somebody has claimed this order already."""


class ClickClaimed(Conflict, code="click_claimed"):
    """The member has claimed this click already."""


class ReferralsClosed(Conflict, code="referrals_closed"):
    """Nothing is given for a referral by this code now."""


class SelfReferral(Conflict, code="self_referral"):
    """The code belongs to the member, or to somebody who seems to be the same person."""


class AlreadyReferred(Conflict, code="already_referred"):
    """The member has claimed a code already."""


class ReferralLoop(Conflict, code="referral_loop"):
    """The code belongs to somebody whom the member has brought, directly or through others."""


class ReferralTooLate(Conflict, code="referral_too_late"):
    """A code is claimed soon after joining, and before the first purchase."""


class SecondApproverNeeded(Conflict, code="second_approver_needed"):
    """Above the program's threshold a second operator has to approve, and not the same one."""


class RequestInFlight(Conflict, code="request_in_flight"):
    """The first request with this Idempotency-Key has not been answered yet."""


class Gone(StampgateError, code="gone", status=410):
    """What was here is no more."""


class RateLimited(StampgateError, code="rate_limited", status=429):
    """Too many requests; slow down."""

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after_s: int | None = None,
        standing: Standing | None = None,
    ) -> None:
        self.standing = standing
        if retry_after_s is None and standing is not None:
            retry_after_s = standing.retry_after_s
        super().__init__(detail, retry_after_s=retry_after_s)


class ProviderUnavailable(StampgateError, code="provider_unavailable", status=502):
    """The provider gave no answer that could be understood; begin again."""

    default_retry_after_s = 5


class Unavailable(StampgateError, code="unavailable", status=503):
    """The service cannot answer right now; nothing was changed."""

    default_retry_after_s = 1


class NotOpen(Unavailable, code="not_open"):
    """The balances of this member are being rebuilt; nothing was changed."""


class OverCapacity(Unavailable, code="over_capacity"):
    """Too much work is waiting; nothing was changed."""


class StorageFailed(Unavailable, code="storage_failed"):
    """The storage of files does not answer; nothing was changed."""


class OutcomeUnknown(StampgateError, code="outcome_unknown", status=503):
    """The outcome is not known; repeat the request with the same Idempotency-Key."""

    default_retry_after_s = 1


class Malformed(ValueError):
    """A text is not what it is given out to be."""


class BadSetting(Malformed):
    """A `STAMPGATE_*` variable is missing or has a bad value; the message begins with its name."""


class BadKeyRing(Malformed):
    """The key ring cannot be used; the message never contains key material."""


class BadField(Malformed):
    """A stored field cannot be opened; the message never contains what is in it."""


class BadTemplate(Malformed):
    """A text cannot be filled in; the message names variables, never their values."""


class BadAddress(Malformed):
    """The text is no mail address that a message can be sent to; it is not quoted."""


class BadSubscription(Malformed):
    """Pushes cannot go there; the message never contains the address."""


class BadReply(Malformed):
    """What a server answers is not in the form of its protocol."""


class BadSignature(Malformed):
    """The message was not signed with any of the secrets, or not lately."""


class BadTask(Malformed):
    """No task of ours has this name and payload."""


class BadStorage(Malformed):
    """The URL names no storage that we know."""


class BadTicket(Malformed):
    """The ticket for a file was not made by us, or has expired."""


class BadId(Malformed):
    """The text is not an id of the expected kind."""


class BadClickId(Malformed):
    """The text does not have the form of a click id."""


class ForgedClickId(BadClickId):
    """No key of ours made this click id for this program."""
