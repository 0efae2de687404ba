"""Who may use which route: written by hand, compared with the route table by `test_roles.py`.

A line is a route's name, its scope, and who may use it: the roles of `core/roles.py`, `app` being
an API key or a token with that scope. `-` is no scope and `any` is each. Whoever adds a route adds
its line, which the failing test prints, and reads it: a wrong scope is seen here or nowhere.
"""

from __future__ import annotations

from typing import Final

TABLE: Final = """
version | - | anyone
live | - | anyone
ready | - | anyone
openapi | - | anyone
docs | - | anyone
log_in | - | anyone
log_in_operator | - | anyone
change_password | me self | member staff owner admin
register | - | anyone
confirm_registration | - | anyone
refresh | - | anyone
log_out | me self | member staff owner admin
log_out_everywhere | me self | member staff owner admin
list_sessions | me self | member staff owner admin
end_session | me self | member staff owner admin
get_me | me self | member staff owner admin
change_me | me self | member staff owner admin
jwks | - | anyone
create_operator | operators:write | owner admin app
list_operators | operators:read | owner admin app
get_operator | operators:read | owner admin app
change_operator | operators:write | owner admin app
delete_operator | operators:write | owner admin app
invite_operator | operators:write | owner admin app
accept_invitation | - | anyone
send_code | - | anyone
sign_in_with_code | - | anyone
send_operator_code | - | anyone
sign_in_operator_with_code | - | anyone
send_password_reset | - | anyone
reset_password | - | anyone
send_operator_password_reset | - | anyone
reset_operator_password | - | anyone
verify_contact | me | member
confirm_contact | me | member
complete_sign_in | - | anyone
get_second_factor | me self | member staff owner admin
enroll_totp | me self | member staff owner admin
verify_totp | me self | member staff owner admin
remove_totp | me self | member staff owner admin
renew_recovery_codes | me self | member staff owner admin
reset_member_totp | security:write | owner app
create_referral_code | me members:write | member staff owner app
list_referral_codes | me members:read | member staff owner app
get_referral_code | - | anyone
claim_referral | me members:write | member staff owner app
list_referrals | me members:read | member staff owner app
get_my_referrals | me | member
get_member_referrals | members:read | staff owner app
reset_operator_totp | operators:write | owner admin app
create_program | platform:admin | admin
list_programs | platform:admin | admin
get_program | programs:read | staff owner admin app
change_program | programs:write | owner admin app
create_merchant | programs:write | owner admin app
list_merchants | me offers:read programs:read | member staff owner admin app
get_merchant | me offers:read programs:read | member staff owner admin app
change_merchant | programs:write | owner admin app
create_category | offers:write | owner app
list_categories | me offers:read | member staff owner app
get_category | me offers:read | member staff owner app
change_category | offers:write | owner app
delete_category | offers:write | owner app
import_merchants | programs:write | owner admin app
import_offers | offers:write | owner app
create_offer | offers:write | owner app
upsert_offer | offers:write | owner app
list_offers | me offers:read | member staff owner app
list_hot_offers | me offers:read | member staff owner app
list_offers_of_host | me offers:read | member staff owner app
get_offer | me offers:read | member staff owner app
change_offer | offers:write | owner app
delete_offer | offers:write | owner app
click_offer | me clicks:write | member owner app
create_member | members:write | staff owner app
upsert_member | members:write | staff owner app
create_members | members:write | staff owner app
list_members | members:read | staff owner app
lookup_member | members:read | staff owner app
get_member | members:read | staff owner app
change_member | members:write | staff owner app
delete_member | members:write | staff owner app
ban_member | conversions:write | owner app
unban_member | conversions:write | owner app
enroll_member | members:write | staff owner app
create_link | links:write | owner app
upsert_link | links:write | owner app
create_links | links:write | owner app
list_links | links:read | staff owner app
get_link | links:read | staff owner app
change_link | links:write | owner app
delete_link | links:write | owner app
import_links | links:write | owner app
get_link_stats | links:read | staff owner app
mint_click | clicks:write | owner app
list_clicks | clicks:read | staff owner app
get_click | clicks:read | staff owner app
create_stamps | awards:write | staff owner app
create_award | awards:write | staff owner app
create_awards | awards:write | staff owner app
get_award | awards:read | staff owner app
reverse_award | awards:write | staff owner app
create_spend | awards:write | staff owner app
create_hold | awards:write | staff owner app
get_hold | awards:read | staff owner app
capture_hold | awards:write | staff owner app
release_hold | awards:write | staff owner app
get_dashboard_metrics | awards:read | staff owner app
get_balances | awards:read | staff owner app
get_statement | awards:read | staff owner app
get_my_balances | me | member
get_my_activity | me | member
list_sign_in_providers | - | anyone
start_provider_sign_in | - | anyone
finish_provider_sign_in | - | anyone
redeem_provider_sign_in | - | anyone
list_my_identities | me | member
link_identity | me | member
unlink_identity | me | member
create_webhook_endpoint | webhooks:write | owner app
list_webhook_endpoints | webhooks:read | staff owner app
get_webhook_endpoint | webhooks:read | staff owner app
change_webhook_endpoint | webhooks:write | owner app
delete_webhook_endpoint | webhooks:write | owner app
enable_webhook_endpoint | webhooks:write | owner app
rotate_webhook_secret | webhooks:write | owner app
test_webhook_endpoint | webhooks:write | owner app
replay_webhook_endpoint | webhooks:write | owner app
list_webhook_deliveries | webhooks:read | staff owner app
get_webhook_delivery | webhooks:read | staff owner app
replay_webhook_delivery | webhooks:write | owner app
list_dead_letters | platform:admin | admin
get_dead_letter | platform:admin | admin
replay_dead_letter | platform:admin | admin
list_templates | programs:read | staff owner admin app
get_template | programs:read | staff owner admin app
put_template | programs:write | owner admin app
delete_template | programs:write | owner admin app
test_template | programs:write | owner admin app
list_notifications | members:read | staff owner app
get_notification | members:read | staff owner app
resend_notification | members:write | staff owner app
list_notices | members:read | staff owner app
get_notice | members:read | staff owner app
report_sendgrid | - | anyone
report_ses | - | anyone
report_twilio | - | anyone
receive_twilio | - | anyone
report_msg91 | - | anyone
report_kaleyra | - | anyone
get_notification_preferences | me | member
put_notification_preferences | me | member
add_push_subscription | me | member
list_push_subscriptions | me | member
delete_push_subscription | me | member
ask_unsubscribe | - | anyone
unsubscribe | - | anyone
list_audit_entries | audit:read | owner admin app
get_audit_head | audit:read | owner admin app
verify_audit_log | audit:read | owner admin app
export_audit_log | audit:read | owner admin app
export_audit_table | audit:read | owner admin app
list_all_audit_entries | platform:admin | admin
verify_installation_audit_log | platform:admin | admin
create_api_key | keys:write | owner app
list_api_keys | keys:read | owner app
get_api_key | keys:read | owner app
change_api_key | keys:write | owner app
revoke_api_key | keys:write | owner app
rotate_api_key | keys:write | owner app
get_api_key_usage | keys:read | owner app
read_limits | any | member staff owner admin app
open_break_glass | platform:admin | admin
list_break_glass | platform:admin | admin
end_break_glass | platform:admin | admin
export_member | privacy:write | owner app
list_exports | privacy:read | owner app
get_export | privacy:read | owner app
erase_member | privacy:write | owner app
list_erasures | privacy:read | owner app
get_erasure | privacy:read | owner app
export_me | me | member
get_my_export | me | member
erase_me | me | member
download_file | - | anyone
list_member_consents | privacy:read | owner app
list_member_consent_history | privacy:read | owner app
record_member_consent | privacy:write | owner app
list_my_consents | me | member
list_my_consent_history | me | member
record_my_consent | me | member
get_my_wallet | me | member
list_my_wallet_transactions | me | member
get_member_wallet | wallet:read | staff owner app
list_member_wallet_transactions | wallet:read | staff owner app
put_my_kyc | me | member
get_my_kyc | me | member
get_member_kyc | wallet:read | staff owner app
verify_member_kyc | withdrawals:write | owner app
reject_member_kyc | withdrawals:write | owner app
create_payout_method | me | member
list_payout_methods | me | member
delete_payout_method | me | member
list_member_payout_methods | wallet:read | staff owner app
create_withdrawal | me | member
list_withdrawals | me withdrawals:read | member staff owner app
get_withdrawal | me withdrawals:read | member staff owner app
cancel_withdrawal | me | member
approve_withdrawal | withdrawals:approve | owner app
reject_withdrawal | withdrawals:write | owner app
complete_withdrawal | withdrawals:write | owner app
create_adjustment | withdrawals:write | owner app
list_adjustments | withdrawals:read | staff owner app
get_adjustment | withdrawals:read | staff owner app
approve_adjustment | withdrawals:approve | owner app
drop_adjustment | withdrawals:write | owner app
hear_of_payouts_razorpayx | - | anyone
hear_of_payouts_cashfree | - | anyone
create_network | programs:write | owner admin app
list_networks | programs:read | staff owner admin app
get_network | programs:read | staff owner admin app
change_network | programs:write | owner admin app
rotate_network_token | programs:write | owner admin app
sync_network | conversions:write | owner app
simulate_network | conversions:write | owner app
set_exchange_rate | programs:write | owner admin app
list_exchange_rates | programs:read | staff owner admin app
import_exchange_rates | programs:write | owner admin app
receive_postback_get | - | anyone
receive_postback_post | - | anyone
receive_awin_get | - | anyone
receive_awin_post | - | anyone
receive_impact_get | - | anyone
receive_impact_post | - | anyone
receive_admitad_get | - | anyone
receive_admitad_post | - | anyone
list_network_postbacks | conversions:read | staff owner app
get_postback | conversions:read | staff owner app
replay_postback | conversions:write | owner app
list_conversions | me conversions:read | member staff owner app
get_conversion | me conversions:read | member staff owner app
get_attribution | conversions:read | staff owner app
reopen_conversion | conversions:write | owner app
revalue_conversion | conversions:write | owner app
reject_conversion | conversions:write | owner app
create_fraud_rule | conversions:write | owner app
list_fraud_rules | conversions:read | staff owner app
get_fraud_rule | conversions:read | staff owner app
put_fraud_rule | conversions:write | owner app
delete_fraud_rule | conversions:write | owner app
list_fraud_cases | conversions:read | staff owner app
get_fraud_case | conversions:read | staff owner app
release_fraud_case | conversions:write | owner app
reject_fraud_case | conversions:write | owner app
ban_fraud_case | conversions:write | owner app
list_fraud_lists | conversions:read | staff owner app
put_fraud_list | conversions:write | owner app
import_fraud_list | conversions:write | owner app
delete_fraud_list | conversions:write | owner app
create_reclassification | conversions:write | owner app
list_reclassifications | conversions:read | staff owner app
get_reclassification | conversions:read | staff owner app
list_eligible_clicks | me members:write | member staff owner app
create_claim | me members:write | member staff owner app
list_claims | me conversions:read | member staff owner app
get_claim | me conversions:read | member staff owner app
add_claim_evidence | me members:write | member staff owner app
list_claims_to_decide | conversions:read | staff owner app
get_claim_summary | conversions:read | staff owner app
get_claim_inquiry | conversions:read | staff owner app
export_claims | conversions:read | staff owner app
get_claim_policy | conversions:read | staff owner app
put_claim_policy | withdrawals:write | owner app
decide_claim | withdrawals:write | owner app
get_trace | conversions:read | staff owner app
get_solvency | conversions:write withdrawals:write | owner app
live_alias_1 | - | anyone
log_in_alias_2 | - | anyone
refresh_alias_3 | - | anyone
log_out_alias_4 | me self | member staff owner admin
send_code_alias_5 | - | anyone
sign_in_with_code_alias_6 | - | anyone
log_in_alias_7 | - | anyone
get_me_alias_8 | me self | member staff owner admin
change_me_alias_9 | me self | member staff owner admin
list_merchants_alias_10 | me offers:read programs:read | member staff owner admin app
create_merchant_alias_11 | programs:write | owner admin app
get_merchant_alias_12 | me offers:read programs:read | member staff owner admin app
get_member_alias_13 | members:read | staff owner app
list_clicks_alias_14 | clicks:read | staff owner app
get_click_alias_15 | clicks:read | staff owner app
get_my_wallet_alias_16 | me | member
list_my_wallet_transactions_alias_17 | me | member
create_withdrawal_alias_18 | me | member
list_withdrawals_alias_19 | me withdrawals:read | member staff owner app
approve_withdrawal_alias_20 | withdrawals:approve | owner app
list_offers_alias_21 | me offers:read | member staff owner app
get_offer_alias_22 | me offers:read | member staff owner app
click_offer_alias_23 | me clicks:write | member owner app
register_alias_24 | - | anyone
confirm_registration_alias_25 | - | anyone
log_out_everywhere_alias_26 | me self | member staff owner admin
complete_sign_in_alias_27 | - | anyone
send_password_reset_alias_28 | - | anyone
reset_password_alias_29 | - | anyone
change_password_alias_30 | me self | member staff owner admin
get_my_activity_alias_31 | me | member
reject_withdrawal_alias_32 | withdrawals:write | owner app
complete_withdrawal_alias_33 | withdrawals:write | owner app
report_twilio_alias_34 | - | anyone
list_my_identities_alias_35 | me | member
unlink_identity_alias_36 | me | member
list_my_identities_alias_37 | me | member
unlink_identity_alias_38 | me | member
enroll_member_alias_39 | members:write | staff owner app
create_stamps_alias_40 | awards:write | staff owner app
get_dashboard_metrics_alias_41 | awards:read | staff owner app
list_customers | members:read | staff owner app
create_customer | members:write | staff owner app
get_customer | members:read | staff owner app
"""


def rows() -> dict[str, tuple[str, str]]:
    """The table: by route, its scope and who may use it."""
    found = {}
    for line in TABLE.strip().splitlines():
        name, scope, who = (part.strip() for part in line.split("|"))
        found[name] = (scope, who)
    return found
