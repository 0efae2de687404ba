"""What refusals say in German, by code."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "internal_error": "Auf unserer Seite ist etwas schiefgegangen.",
    "bad_request": "Die Anfrage ist nicht zu verstehen.",
    "invalid_json": "Der Inhalt ist kein JSON.",
    "idempotency_key_missing": "Der Header Idempotency-Key fehlt.",
    "idempotency_key_invalid": (
        "Der Idempotency-Key muss aus 1 bis 255 druckbaren ASCII-Zeichen bestehen."
    ),
    "sign_in_state_invalid": (
        "Die Anmeldung wurde nicht in diesem Browser begonnen, hat zu lange gedauert oder "
        "ist beendet; beginnen Sie von vorn."
    ),
    "sign_in_code_invalid": (
        "Der Code gehört nicht zu diesem Programm, wurde schon benutzt oder ist zu alt; "
        "beginnen Sie von vorn."
    ),
    "provider_refused": "Der Anbieter hat nicht gesagt, wer das ist; beginnen Sie von vorn.",
    "body_too_large": "Der Inhalt ist größer, als hier erlaubt ist.",
    "invalid": "Die Anfrage ist wohlgeformt, ergibt aber keinen Sinn.",
    "invalid_request": "Die Anfrage hat nicht die Form, die hier erwartet wird.",
    "invalid_destination": "Dorthin darf kein Link führen.",
    "redirect_not_allowed": (
        "Die Einstellungen des Programms nennen diese Adresse nicht unter `sign_in_redirects`."
    ),
    "idempotency_key_reused": "Der Idempotency-Key wurde schon mit einem anderen Inhalt benutzt.",
    "unauthorized": "Es braucht eine gültige Anmeldung.",
    "token_invalid": "Das Token ist keines von uns.",
    "token_expired": "Das Token ist abgelaufen.",
    "session_too_old": "Die Sitzung hat so lange gedauert, wie sie darf; melden Sie sich neu an.",
    "forbidden": "Mit dieser Anmeldung ist das nicht erlaubt.",
    "origin_not_allowed": "Kein Programm lässt Seiten dieser Herkunft die API aufrufen.",
    "insufficient_scope": "Der Anmeldung fehlt das Recht, das hier gebraucht wird.",
    "sign_in_declined": "Die Anmeldung beim Anbieter wurde abgelehnt.",
    "not_found": "Hier ist nichts.",
    "program_not_found": "Dieses Programm gibt es nicht.",
    "merchant_not_found": "Diesen Händler gibt es in diesem Programm nicht.",
    "member_not_found": "Dieses Mitglied gibt es in diesem Programm nicht.",
    "link_not_found": "Diesen Link gibt es nicht.",
    "click_not_found": "Diesen Klick gibt es in diesem Programm nicht.",
    "award_not_found": "Diese Gutschrift gibt es in diesem Programm nicht.",
    "hold_not_found": "Diese Reservierung gibt es in diesem Programm nicht.",
    "webhook_endpoint_not_found": "Diesen Webhook-Endpunkt gibt es in diesem Programm nicht.",
    "webhook_delivery_not_found": "Diese Webhook-Zustellung gibt es in diesem Programm nicht.",
    "dead_letter_not_found": "Diese aufgegebene Aufgabe gibt es nicht.",
    "provider_not_found": "Dieser Anbieter ist hier nicht eingerichtet.",
    "identity_not_found": "Mit diesem Anbieter ist nichts verknüpft.",
    "push_subscription_not_found": "An ein solches Gerät oder einen solchen Browser geht nichts.",
    "method_not_allowed": "Der Pfad nimmt diese Methode nicht an.",
    "conflict": "Der jetzige Zustand lässt das nicht zu.",
    "slug_taken": "Ein anderer Link heißt schon so.",
    "external_id_taken": "Die externe Kennung ist in diesem Programm vergeben.",
    "mail_taken": (
        "Ein Mitglied hat diese Mailadresse; melden Sie sich wie bisher an und verknüpfen "
        "Sie dann den Anbieter."
    ),
    "identity_taken": "Ein anderes Mitglied des Programms ist mit dieser Identität verknüpft.",
    "provider_already_linked": (
        "Das Mitglied ist mit einer anderen Identität dieses Anbieters verknüpft; lösen "
        "Sie diese zuerst."
    ),
    "last_sign_in_way": "Ohne diese Identität könnte sich das Mitglied nicht mehr anmelden.",
    "insufficient_balance": "Das Guthaben ist kleiner als der Betrag.",
    "balance_negative": (
        "Das Guthaben ist nach einer Rückbuchung negativ; die nächsten Gutschriften "
        "gleichen es aus."
    ),
    "balance_too_large": (
        "Das Guthaben würde 2^53 erreichen und wäre dann nicht mehr genau zu zählen."
    ),
    "hold_not_open": "Die Reservierung wurde eingelöst, freigegeben oder ist abgelaufen.",
    "reversal_exceeds_award": "Zurückgebucht werden kann höchstens die Gutschrift.",
    "capture_exceeds_hold": "Eingelöst werden kann höchstens, was reserviert ist.",
    "limit_reached": "Eine Grenze des Programms lässt diese Gutschrift jetzt nicht zu.",
    "budget_exhausted": "Das Budget des Programms ist aufgebraucht.",
    "request_in_flight": "Die erste Anfrage mit diesem Idempotency-Key ist noch nicht beantwortet.",
    "gone": "Was hier war, gibt es nicht mehr.",
    "rate_limited": "Zu viele Anfragen; bitte langsamer.",
    "provider_unavailable": (
        "Der Anbieter hat nicht verständlich geantwortet; beginnen Sie von vorn."
    ),
    "unavailable": "Der Dienst kann gerade nicht antworten; nichts wurde geändert.",
    "not_open": (
        "Die Guthaben dieses Mitglieds werden gerade wiederhergestellt; nichts wurde geändert."
    ),
    "over_capacity": "Es wartet zu viel Arbeit; nichts wurde geändert.",
    "outcome_unknown": (
        "Das Ergebnis ist nicht bekannt; wiederholen Sie die Anfrage mit demselben Idempotency-Key."
    ),
    "address_not_allowed": "Von dieser Adresse aus werden Administratoren nicht eingelassen.",
    "report_forged": "Der Anbieter hat diesen Bericht nicht unterschrieben.",
    "api_key_expired": "Der API-Schlüssel ist abgelaufen.",
    "api_key_invalid": "Der API-Schlüssel ist keiner von uns oder wurde widerrufen.",
    "api_key_not_found": "Diesen API-Schlüssel gibt es in diesem Programm nicht.",
    "api_key_revoked": "Der API-Schlüssel wurde widerrufen, und das endgültig.",
    "break_glass_not_found": "Diesen Notzugriff gibt es nicht, oder er ist beendet.",
    "code_invalid": (
        "Der Code ist falsch, wurde schon benutzt oder ist abgelaufen; nach fünf falschen "
        "fordern Sie einen neuen an."
    ),
    "contact_not_found": "Diese Kontaktadresse haben Sie noch nicht; nennen Sie sie zuerst.",
    "contact_taken": "Die Mailadresse oder Telefonnummer gehört jemand anderem.",
    "erasure_not_found": "Diese Löschung gibt es in diesem Programm nicht.",
    "export_not_found": "Diesen Export gibt es in diesem Programm nicht.",
    "invalid_template": "Der Text taugt nicht für diese Vorlage.",
    "invitation_not_found": "Die Einladung wurde benutzt, zurückgezogen oder ist abgelaufen.",
    "registration_not_found": "Die Anmeldung wurde bestätigt oder ist abgelaufen.",
    "last_owner": (
        "Es muss einen aktiven Inhaber geben, und für die Plattform einen aktiven Administrator."
    ),
    "mfa_token_invalid": (
        "Die Anmeldung wurde abgeschlossen oder aufgegeben; beginnen Sie von vorn."
    ),
    "not_resendable": (
        "Die Nachricht ist unterwegs oder gesendet, oder ihr Inhalt wurde nicht aufbewahrt."
    ),
    "notification_not_found": "Diese Nachricht gibt es in diesem Programm nicht.",
    "notice_not_found": "Diese Mitteilung gibt es in diesem Programm nicht.",
    "operator_not_found": "Diesen Betreiber gibt es hier nicht.",
    "password_too_weak": "Das Passwort ist eines von denen, die zuerst probiert werden.",
    "scope_not_yours": "Niemand gibt Rechte weiter, die er selbst nicht hat.",
    "second_factor_required": "Administratoren müssen sich mit einem zweiten Faktor anmelden.",
    "session_not_found": "Diese Sitzung haben Sie nicht.",
    "sign_in_refused": (
        "So meldet man sich bei diesem Konto nicht an, oder es gibt kein solches Konto."
    ),
    "storage_failed": "Der Dateispeicher antwortet nicht; nichts wurde geändert.",
    "template_not_found": "Diese Vorlage gibt es nicht.",
    "token_revoked": "Die Sitzung ist beendet; melden Sie sich neu an.",
    "totp_enabled": "Eine Authenticator-App ist in Gebrauch; entfernen Sie sie zuerst.",
    "totp_not_enrolled": "Es gibt keine Authenticator-App; richten Sie zuerst eine ein.",
    "body_too_slow": "Der Inhalt kam nicht rechtzeitig an.",
    "head_too_large": "Die Anfragezeile oder ein Header ist zu lang.",
    "amount_below_minimum": "Der Betrag ist kleiner, als das Programm auszahlt.",
    "kyc_not_found": "Das Mitglied hat kein Dokument eingereicht.",
    "payout_method_not_found": "Dieses Auszahlungsziel hat das Mitglied nicht.",
    "withdrawal_not_found": "Diese Auszahlung gibt es in diesem Programm nicht.",
    "member_banned": "Das Programm hat das Mitglied gesperrt.",
    "kyc_not_verified": "Das Dokument, das das Mitglied ausweist, ist noch nicht geprüft.",
    "too_many_payout_methods": (
        "Mehr Auszahlungsziele kann das Mitglied nicht haben; löschen Sie zuerst eines."
    ),
    "withdrawal_not_open": (
        "Die Auszahlung ist inzwischen weiter; dieser Schritt ist nicht mehr möglich."
    ),
    "second_approver_needed": (
        "Über der Grenze des Programms muss eine zweite Person zustimmen, nicht dieselbe."
    ),
    "category_not_found": "Diese Kategorie gibt es in diesem Programm nicht.",
    "offer_not_found": "Dieses Angebot gibt es in diesem Programm nicht.",
    "category_slug_taken": "Eine andere Kategorie des Programms heißt schon so.",
    "category_cycle": (
        "Eine Kategorie kann weder unter sich selbst stehen noch unter einer, die unter ihr steht."
    ),
    "category_in_use": (
        "In dieser Kategorie stehen noch Kategorien, Händler oder Angebote; verschieben Sie "
        "diese zuerst."
    ),
    "offer_not_active": "Das Angebot gilt zurzeit nicht.",
    "offer_in_use": (
        "Das Angebot ist kein Entwurf mehr: Klicks können darauf verweisen. Beenden Sie es "
        "stattdessen."
    ),
    "link_in_use": "Der Link gehört zu einem Angebot; ändern Sie stattdessen das Angebot.",
    "signature_invalid": "Der Aufruf ist nicht vom Anbieter unterschrieben, oder nicht kürzlich.",
    "adjustment_not_found": "Diese Korrektur gibt es in diesem Programm nicht.",
    "adjustment_not_open": "Über die Korrektur ist schon entschieden.",
    "fraud_rule_not_found": "Diese Betrugsregel gibt es in diesem Programm nicht.",
    "fraud_case_not_found": "Diesen Betrugsfall gibt es in diesem Programm nicht.",
    "fraud_case_not_open": "Über den Fall ist schon entschieden.",
    "fraud_list_not_found": "Eine Liste dieses Namens gibt es in diesem Programm nicht.",
    "reclassification_not_found": "Diese Neubewertung gibt es in diesem Programm nicht.",
    "network_not_found": "Dieses Affiliate-Netzwerk gibt es in diesem Programm nicht.",
    "postback_not_found": "Diesen Postback gibt es in diesem Programm nicht.",
    "conversion_not_found": "Diese Conversion gibt es in diesem Programm nicht.",
    "conversion_not_open": "Der Zustand der Conversion lässt diesen Schritt nicht zu.",
    "claim_not_found": "Diese Reklamation gibt es in diesem Programm nicht.",
    "claim_not_open": "Die Reklamation ist inzwischen weiter, dieser Schritt geht nicht mehr.",
    "claim_too_early": (
        "Das Netzwerk kann die Bestellung noch melden; reklamieren Sie sie später."
    ),
    "too_many_claims": (
        "Das Mitglied hat in den letzten 30 Tagen so oft reklamiert, wie das Programm erlaubt."
    ),
    "order_claimed": "Diese Bestellung ist schon reklamiert.",
    "click_claimed": "Dieser Klick ist schon reklamiert.",
    "referral_code_not_found": "Diesen Code hat in diesem Programm niemand.",
    "referrals_closed": "Für eine Empfehlung mit diesem Code gibt es zurzeit nichts.",
    "self_referral": (
        "Der Code gehört dem Mitglied selbst oder jemandem, der dieselbe Person zu sein scheint."
    ),
    "already_referred": "Das Mitglied hat schon einen Code eingelöst.",
    "referral_loop": "Der Code gehört jemandem, den das Mitglied selbst geworben hat.",
    "referral_too_late": "Ein Code wird bald nach dem Beitritt und vor dem ersten Kauf eingelöst.",
}
