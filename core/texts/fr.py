"""Built-in texts in French."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.templates import Texts

EMAIL: Final[Mapping[str, Texts]] = {
    "sign_in_code": Texts(
        subject="Votre code de connexion à {program}",
        text="""\
Votre code pour vous connecter à {program} :

    {code}

Il est valable {minutes} minutes. Personne chez {program} ne vous le demandera jamais.
Si vous ne vouliez pas vous connecter, ignorez ce message.
""",
    ),
    "verify_contact": Texts(
        subject="Confirmez votre adresse pour {program}",
        text="""\
Votre code pour confirmer cette adresse auprès de {program} :

    {code}

Il est valable {minutes} minutes. Si vous n'êtes pas à l'origine de cette demande, ignorez ce message.
""",
    ),
    "reset_password": Texts(
        subject="Un nouveau mot de passe pour {program}",
        text="""\
Votre code pour choisir un nouveau mot de passe sur {program} :

    {code}

Il est valable {minutes} minutes. Si vous ne l'avez pas demandé, ignorez ce message : votre mot de passe reste inchangé.
""",
    ),
    "invite_operator": Texts(
        subject="Invitation à travailler sur {program}",
        text="""\
Un compte a été créé pour vous sur {program}. Choisissez votre mot de passe avec ce code :

    {code}

Il est valable {hours} heures.
""",
    ),
    "already_registered": Texts(
        subject="Vous avez déjà un compte sur {program}",
        text="""\
Quelqu'un a voulu s'inscrire sur {program} avec cette adresse, qui a déjà un compte.
Si c'était vous, connectez-vous ou demandez un nouveau mot de passe. Sinon, vous n'avez rien à faire.
""",
    ),
    "password_changed": Texts(
        subject="Votre mot de passe pour {program} a été modifié",
        text="""\
Votre mot de passe pour {program} a été modifié. Si ce n'était pas vous, choisissez-en un nouveau maintenant.
""",
    ),
    "second_factor_on": Texts(
        subject="Connexion en deux étapes activée pour {program}",
        text="""\
Pour vous connecter à {program}, il vous faudra désormais un code de votre application d'authentification.
Si ce n'est pas vous qui l'avez activée, écrivez à {program}.
""",
    ),
    "second_factor_off": Texts(
        subject="Connexion en deux étapes désactivée pour {program}",
        text="""\
Votre mot de passe suffit désormais pour vous connecter à {program}.
Si ce n'est pas vous qui l'avez désactivée, choisissez un nouveau mot de passe maintenant.
""",
    ),
    "contact_changed": Texts(
        subject="Votre adresse pour {program} a été modifiée",
        text="""\
Votre compte {program} a désormais une autre adresse e-mail à la place de celle-ci.
Si ce n'est pas vous qui l'avez modifiée, écrivez maintenant à {program}.
""",
    ),
    "sign_in_added": Texts(
        subject="Une nouvelle façon de se connecter à {program}",
        text="""\
On peut désormais se connecter à votre compte {program} avec un nouveau contact ou un compte d'un autre service.
Si ce n'est pas vous qui l'avez ajouté, écrivez maintenant à {program}.
""",
    ),
    "break_glass": Texts(
        subject="Accès d'urgence à {program}",
        text="""\
L'équipe de la plateforme ({operator}) a pris un accès d'urgence à {program} pour {minutes} minutes.

Motif : {reason}

Tout ce qui est fait entre-temps figure dans votre journal d'audit.
""",
    ),
    "export_ready": Texts(
        subject="Vos données chez {program}",
        text="""\
Ce que {program} a enregistré à votre sujet est prêt :

{url}

Le lien est valable {hours} heures. Quiconque l'a peut lire vos données : ne le transmettez pas.
""",
    ),
    "withdrawal_requested": Texts(
        subject="Votre retrait de {amount} est demandé",
        text="""\
Vous avez demandé à {program} de vous verser {amount}. L'argent est mis de côté jusqu'à son examen.
Si ce n'était pas vous, écrivez maintenant à {program}.
""",
    ),
    "withdrawal_approved": Texts(
        subject="Votre retrait de {amount} est approuvé",
        text="""\
Votre retrait de {amount} de {program} est approuvé et sera versé.
""",
    ),
    "withdrawal_rejected": Texts(
        subject="Votre retrait de {amount} n'a pas été versé",
        text="""\
Votre retrait de {amount} de {program} n'a pas été versé, et l'argent est de nouveau disponible.

Raison : {reason}
""",
    ),
    "withdrawal_paid": Texts(
        subject="Retrait versé ! UTR : {utr}",
        text="""\
Retrait versé ! UTR : {utr}

{program} vous a versé {amount}. Votre banque retrouve le versement par cette UTR.
""",
    ),
    "cashback_credited": Texts(
        subject="{amount} de cashback crédités !",
        text="""\
{amount} de cashback crédités !

Ils sont sur votre solde chez {program}, et vous pouvez les retirer.
""",
    ),
    "referral_rewarded": Texts(
        subject="{amount} pour un parrainage !",
        text="""\
{amount} pour un parrainage !

Le premier achat est confirmé. La somme est maintenant sur votre solde chez {program}, et vous pouvez la retirer.
""",
    ),
    "withdrawal_reversed": Texts(
        subject="Votre retrait de {amount} est revenu",
        text="""\
Votre banque a renvoyé à {program} le versement de {amount}. L'argent est de nouveau disponible.
Vérifiez où vous voulez être payé avant de le redemander.
""",
    ),
    "claim_accepted": Texts(
        subject="Votre réclamation pour la commande {order} est acceptée",
        text="""\
{program} accepte votre réclamation pour la commande {order} : {amount} de cashback. Il vous est acquis quand le
réseau de la boutique confirme la commande, et repris s'il la refuse.
""",
    ),
    "claim_sent": Texts(
        subject="Votre réclamation pour la commande {order} est à l'étude",
        text="""\
{program} a interrogé le réseau de la boutique sur la commande {order}. Cela peut prendre quelques semaines.
""",
    ),
    "claim_inquiry": Texts(
        subject="La commande {order} n’a pas été signalée",
        text="""\
Une personne a cliqué sur {program} vers {merchant} et a commandé, mais la commande n’a pas été signalée.
Merci de vérifier.

    commande      {order}
    montant       {amount}
    date          {ordered_at}
    clic          {click}
    date du clic  {clicked_at}
    notre dossier {claim}
""",
    ),
    "claim_rejected": Texts(
        subject="Votre réclamation pour la commande {order} n'est pas acceptée",
        text="""\
{program} ne peut pas vous donner de cashback pour la commande {order}.

{reason}
""",
    ),
}

SMS: Final[Mapping[str, Texts]] = {
    "sign_in_code": Texts(
        text="{code} est votre code de connexion à {program}, valable {minutes} minutes. Ne le communiquez à personne."
    ),
    "verify_contact": Texts(
        text="{code} confirme ce numéro pour {program}. Le code est valable {minutes} minutes."
    ),
    "reset_password": Texts(
        text="{code} est votre code pour un nouveau mot de passe sur {program}, valable {minutes} minutes."
    ),
    "password_changed": Texts(
        text="Votre mot de passe pour {program} a été modifié. Si ce n'était pas vous, choisissez-en un nouveau maintenant."
    ),
    "contact_changed": Texts(
        text="Votre compte {program} a désormais un autre numéro de téléphone à la place de celui-ci. Si ce n'était pas vous, écrivez maintenant à {program}."
    ),
    "sign_in_added": Texts(
        text="Il y a une nouvelle façon de se connecter à votre compte {program}. Si ce n'était pas vous, écrivez maintenant à {program}."
    ),
    "withdrawal_requested": Texts(
        text="Vous avez demandé à {program} de vous verser {amount}. Si ce n'était pas vous, écrivez-nous."
    ),
    "withdrawal_approved": Texts(
        text="Votre retrait de {amount} de {program} est approuvé et sera versé."
    ),
    "withdrawal_rejected": Texts(
        text="Votre retrait de {amount} de {program} n'a pas été versé : {reason}"
    ),
    "withdrawal_paid": Texts(text="Retrait versé ! UTR : {utr}. {program} vous a versé {amount}."),
    "cashback_credited": Texts(
        text="{amount} de cashback crédités ! Ils sont sur votre solde chez {program}."
    ),
    "referral_rewarded": Texts(
        text="{amount} pour un parrainage ! La somme est maintenant sur votre solde chez {program}."
    ),
    "withdrawal_reversed": Texts(
        text="Votre banque a renvoyé à {program} le versement de {amount} ; il est de nouveau disponible."
    ),
    "claim_accepted": Texts(
        text="{program} accepte votre réclamation pour {order} : {amount}, jusqu'à confirmation du réseau."
    ),
    "claim_sent": Texts(
        text="{program} a interrogé le réseau sur la commande {order}. Cela peut prendre quelques semaines."
    ),
    "claim_rejected": Texts(
        text="{program} ne peut pas vous donner de cashback pour la commande {order}. {reason}"
    ),
}

#: Why a claim was not accepted, by its reason.
CLAIM_REASONS: Final[Mapping[str, str]] = {
    "no_click": "Nous ne trouvons aucun clic de votre part sur cette boutique avant la commande.",
    "not_an_offer": "Votre clic ne portait pas sur une offre.",
    "order_before_click": "La commande a été passée avant votre clic.",
    "order_too_late": "La commande a été passée trop longtemps après votre clic.",
    "claim_too_late": "Votre clic est trop ancien.",
    "click_reported": "Le réseau de la boutique a déjà signalé un achat pour votre clic.",
    "order_reported": "Le réseau de la boutique a déjà signalé cette commande.",
    "no_cashback": "L'offre ne donne pas de cashback pour cette commande.",
    "declined": "Le réseau de la boutique n'a pas confirmé la commande.",
    "other": "Nos données ne confirment pas l'achat.",
}

#: Why a withdrawal was not paid, by its state.
WITHDRAWAL_REASONS: Final[Mapping[str, str]] = {
    "failed": "La banque n'a pas pu effectuer le paiement. Vérifiez le compte vers lequel il doit aller.",
    "rejected": "Le programme ne l'a pas accepté.",
}
