"""Built-in texts in German."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.templates import Texts

EMAIL: Final[Mapping[str, Texts]] = {
    "sign_in_code": Texts(
        subject="Ihr Anmeldecode für {program}",
        text="""\
Ihr Code für die Anmeldung bei {program}:

    {code}

Er gilt {minutes} Minuten. Niemand von {program} wird Sie je danach fragen.
Wenn Sie sich nicht anmelden wollten, ist nichts zu tun.
""",
    ),
    "verify_contact": Texts(
        subject="Bestätigen Sie Ihre Adresse für {program}",
        text="""\
Ihr Code, um diese Adresse bei {program} zu bestätigen:

    {code}

Er gilt {minutes} Minuten. Wenn Sie nichts davon wissen, ist nichts zu tun.
""",
    ),
    "reset_password": Texts(
        subject="Ein neues Passwort für {program}",
        text="""\
Ihr Code für ein neues Passwort bei {program}:

    {code}

Er gilt {minutes} Minuten. Wenn Sie ihn nicht angefordert haben, ist nichts zu tun: Ihr Passwort bleibt, wie es ist.
""",
    ),
    "invite_operator": Texts(
        subject="Einladung zur Mitarbeit bei {program}",
        text="""\
Für Sie wurde ein Konto bei {program} angelegt. Mit diesem Code legen Sie Ihr Passwort fest:

    {code}

Er gilt {hours} Stunden.
""",
    ),
    "already_registered": Texts(
        subject="Sie haben schon ein Konto bei {program}",
        text="""\
Jemand wollte sich bei {program} mit dieser Adresse registrieren, zu der es schon ein Konto gibt.
Waren Sie es, dann melden Sie sich an oder fordern Sie ein neues Passwort an. Sonst ist nichts zu tun.
""",
    ),
    "password_changed": Texts(
        subject="Ihr Passwort für {program} wurde geändert",
        text="""\
Ihr Passwort für {program} wurde geändert. Waren Sie es nicht, dann legen Sie jetzt ein neues fest.
""",
    ),
    "second_factor_on": Texts(
        subject="Die Anmeldung bei {program} hat jetzt zwei Schritte",
        text="""\
Für die Anmeldung bei {program} brauchen Sie ab jetzt auch einen Code aus Ihrer Authenticator-App.
Haben Sie das nicht selbst eingeschaltet, dann schreiben Sie an {program}.
""",
    ),
    "second_factor_off": Texts(
        subject="Die Anmeldung bei {program} hat nur noch einen Schritt",
        text="""\
Für die Anmeldung bei {program} genügt ab jetzt Ihr Passwort.
Haben Sie das nicht selbst ausgeschaltet, dann legen Sie jetzt ein neues Passwort fest.
""",
    ),
    "contact_changed": Texts(
        subject="Ihre Adresse bei {program} wurde geändert",
        text="""\
Ihr Konto bei {program} hat jetzt eine andere E-Mail-Adresse als diese.
Haben Sie das nicht selbst geändert, dann schreiben Sie jetzt an {program}.
""",
    ),
    "sign_in_added": Texts(
        subject="Es gibt einen neuen Weg zu Ihrem Konto bei {program}",
        text="""\
Bei Ihrem Konto bei {program} kann man sich jetzt auch mit einem neuen Kontakt oder einem anderen Konto anmelden.
Haben Sie das nicht selbst hinzugefügt, dann schreiben Sie jetzt an {program}.
""",
    ),
    "break_glass": Texts(
        subject="Notzugriff auf {program}",
        text="""\
Die Betreiber der Plattform ({operator}) haben für {minutes} Minuten Notzugriff auf {program}.

Grund: {reason}

Alles, was dabei geschieht, steht in Ihrem Audit-Log.
""",
    ),
    "export_ready": Texts(
        subject="Ihre Daten bei {program}",
        text="""\
Was {program} über Sie gespeichert hat, liegt bereit:

{url}

Der Link gilt {hours} Stunden. Wer ihn hat, kann Ihre Daten lesen: Geben Sie ihn nicht weiter.
""",
    ),
    "withdrawal_requested": Texts(
        subject="Ihre Auszahlung über {amount} ist beantragt",
        text="""\
Sie haben {program} gebeten, Ihnen {amount} auszuzahlen. Das Geld ist zurückgelegt, bis es jemand geprüft hat.
Wenn Sie das nicht waren, schreiben Sie {program} jetzt.
""",
    ),
    "withdrawal_approved": Texts(
        subject="Ihre Auszahlung über {amount} ist genehmigt",
        text="""\
Ihre Auszahlung über {amount} von {program} ist genehmigt und wird überwiesen.
""",
    ),
    "withdrawal_rejected": Texts(
        subject="Ihre Auszahlung über {amount} wurde nicht überwiesen",
        text="""\
Ihre Auszahlung über {amount} von {program} wurde nicht überwiesen; das Geld ist wieder verfügbar.

Grund: {reason}
""",
    ),
    "withdrawal_paid": Texts(
        subject="Auszahlung überwiesen! UTR: {utr}",
        text="""\
Auszahlung überwiesen! UTR: {utr}

{program} hat Ihnen {amount} überwiesen. Ihre Bank findet die Zahlung unter dieser UTR.
""",
    ),
    "cashback_credited": Texts(
        subject="{amount} Cashback gutgeschrieben!",
        text="""\
{amount} Cashback gutgeschrieben!

Das Geld steht jetzt auf Ihrem Konto bei {program}; Sie können es auszahlen lassen.
""",
    ),
    "referral_rewarded": Texts(
        subject="{amount} für eine Empfehlung!",
        text="""\
{amount} für eine Empfehlung!

Der erste Einkauf ist bestätigt. Das Geld ist jetzt in Ihrem Guthaben bei {program} und kann ausgezahlt werden.
""",
    ),
    "withdrawal_reversed": Texts(
        subject="Ihre Auszahlung über {amount} kam zurück",
        text="""\
Ihre Bank hat die Zahlung über {amount} an {program} zurückgeschickt. Das Geld ist wieder verfügbar.
Prüfen Sie Ihr Auszahlungsziel, bevor Sie es erneut beantragen.
""",
    ),
    "claim_accepted": Texts(
        subject="Ihre Reklamation zur Bestellung {order} ist anerkannt",
        text="""\
{program} erkennt Ihre Reklamation zur Bestellung {order} an: {amount} Cashback. Er gehört Ihnen endgültig, wenn
das Netzwerk des Shops die Bestellung bestätigt, und wird zurückgenommen, wenn es sie ablehnt.
""",
    ),
    "claim_sent": Texts(
        subject="Ihre Reklamation zur Bestellung {order} wird geprüft",
        text="""\
{program} hat beim Netzwerk des Shops nach der Bestellung {order} gefragt. Das kann einige Wochen dauern.
""",
    ),
    "claim_inquiry": Texts(
        subject="Bestellung {order} wurde nicht gemeldet",
        text="""\
Jemand hat über {program} zu {merchant} geklickt und bestellt, und die Bestellung wurde nicht gemeldet.
Bitte gehen Sie dem nach.

    Bestellung   {order}
    Betrag       {amount}
    bestellt am  {ordered_at}
    Klick        {click}
    geklickt am  {clicked_at}
    unser Fall   {claim}
""",
    ),
    "claim_rejected": Texts(
        subject="Ihre Reklamation zur Bestellung {order} ist nicht anerkannt",
        text="""\
{program} kann Ihnen für die Bestellung {order} keinen Cashback geben.

{reason}
""",
    ),
}

SMS: Final[Mapping[str, Texts]] = {
    "sign_in_code": Texts(
        text="{code} ist Ihr Anmeldecode für {program}, gültig {minutes} Minuten. Verraten Sie ihn niemandem."
    ),
    "verify_contact": Texts(
        text="{code} bestätigt diese Nummer für {program}. Der Code gilt {minutes} Minuten."
    ),
    "reset_password": Texts(
        text="{code} ist Ihr Code für ein neues Passwort bei {program}, gültig {minutes} Minuten."
    ),
    "password_changed": Texts(
        text="Ihr Passwort für {program} wurde geändert. Waren Sie es nicht, dann legen Sie jetzt ein neues fest."
    ),
    "contact_changed": Texts(
        text="Ihr Konto bei {program} hat jetzt eine andere Telefonnummer als diese. Waren Sie es nicht, dann schreiben Sie jetzt dorthin."
    ),
    "sign_in_added": Texts(
        text="Für Ihr Konto bei {program} gibt es einen neuen Weg zur Anmeldung. Waren Sie es nicht, dann schreiben Sie jetzt dorthin."
    ),
    "withdrawal_requested": Texts(
        text="Sie haben {program} um Auszahlung von {amount} gebeten. Waren Sie das nicht, schreiben Sie jetzt dorthin."
    ),
    "withdrawal_approved": Texts(
        text="Ihre Auszahlung über {amount} von {program} ist genehmigt und wird überwiesen."
    ),
    "withdrawal_rejected": Texts(
        text="Ihre Auszahlung über {amount} von {program} wurde nicht überwiesen: {reason}"
    ),
    "withdrawal_paid": Texts(
        text="Auszahlung überwiesen! UTR: {utr}. {program} hat Ihnen {amount} gezahlt."
    ),
    "cashback_credited": Texts(
        text="{amount} Cashback gutgeschrieben! Das Geld steht jetzt auf Ihrem Konto bei {program}."
    ),
    "referral_rewarded": Texts(
        text="{amount} für eine Empfehlung! Das Geld ist jetzt in Ihrem Guthaben bei {program}."
    ),
    "withdrawal_reversed": Texts(
        text="Die Zahlung von {program} über {amount} kam von Ihrer Bank zurück und ist wieder verfügbar."
    ),
    "claim_accepted": Texts(
        text="{program} erkennt Ihre Reklamation zu {order} an: {amount}, bis das Netzwerk sie bestätigt."
    ),
    "claim_sent": Texts(
        text="{program} hat beim Netzwerk nach der Bestellung {order} gefragt. Das kann einige Wochen dauern."
    ),
    "claim_rejected": Texts(
        text="{program} kann Ihnen für die Bestellung {order} keinen Cashback geben. {reason}"
    ),
}

#: Why a claim was not accepted, by its reason.
CLAIM_REASONS: Final[Mapping[str, str]] = {
    "no_click": "Wir finden keinen Klick von Ihnen bei diesem Shop vor der Bestellung.",
    "not_an_offer": "Ihr Klick galt keinem Angebot.",
    "order_before_click": "Die Bestellung wurde vor Ihrem Klick aufgegeben.",
    "order_too_late": "Die Bestellung wurde zu lange nach Ihrem Klick aufgegeben.",
    "claim_too_late": "Ihr Klick liegt zu lange zurück.",
    "click_reported": "Das Netzwerk des Shops hat zu Ihrem Klick schon einen Kauf gemeldet.",
    "order_reported": "Das Netzwerk des Shops hat diese Bestellung schon gemeldet.",
    "no_cashback": "Das Angebot gibt für diese Bestellung keinen Cashback.",
    "declined": "Das Netzwerk des Shops hat die Bestellung nicht bestätigt.",
    "other": "Unsere Aufzeichnungen bestätigen den Kauf nicht.",
}

#: Why a withdrawal was not paid, by its state.
WITHDRAWAL_REASONS: Final[Mapping[str, str]] = {
    "failed": "Die Bank konnte die Zahlung nicht ausführen. Bitte prüfen Sie das Konto, auf das sie gehen soll.",
    "rejected": "Das Programm hat sie nicht angenommen.",
}
