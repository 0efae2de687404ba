"""What refusals say in French, by code."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "internal_error": "Une erreur s'est produite de notre côté.",
    "bad_request": "La requête est incompréhensible.",
    "invalid_json": "Le corps n'est pas du JSON.",
    "idempotency_key_missing": "L'en-tête Idempotency-Key manque.",
    "idempotency_key_invalid": (
        "L'Idempotency-Key doit compter de 1 à 255 caractères ASCII imprimables."
    ),
    "sign_in_state_invalid": (
        "La connexion n'a pas commencé dans ce navigateur, a duré trop longtemps ou est "
        "terminée ; recommencez."
    ),
    "sign_in_code_invalid": (
        "Le code n'est pas de ce programme, a déjà servi ou est trop ancien ; recommencez."
    ),
    "provider_refused": "Le fournisseur n'a pas dit de qui il s'agit ; recommencez.",
    "body_too_large": "Le corps dépasse la taille admise ici.",
    "invalid": "La requête est bien formée, mais n'a pas de sens.",
    "invalid_request": "La requête n'a pas la forme attendue ici.",
    "invalid_destination": "Aucun lien ne peut mener à cette destination.",
    "redirect_not_allowed": (
        "Les réglages du programme ne citent pas cette adresse dans `sign_in_redirects`."
    ),
    "idempotency_key_reused": "L'Idempotency-Key a déjà servi avec un autre corps.",
    "unauthorized": "Il faut une authentification valide.",
    "token_invalid": "Le jeton n'est pas l'un des nôtres.",
    "token_expired": "Le jeton a expiré.",
    "session_too_old": "La session a duré aussi longtemps que possible ; reconnectez-vous.",
    "forbidden": "Cette authentification ne le permet pas.",
    "origin_not_allowed": "Aucun programme ne laisse les pages de cette origine appeler l'API.",
    "insufficient_scope": "Il manque à cette authentification le droit requis ici.",
    "sign_in_declined": "La connexion auprès du fournisseur a été refusée.",
    "not_found": "Il n'y a rien ici.",
    "program_not_found": "Ce programme n'existe pas.",
    "merchant_not_found": "Ce marchand n'existe pas dans ce programme.",
    "member_not_found": "Ce membre n'existe pas dans ce programme.",
    "link_not_found": "Ce lien n'existe pas.",
    "click_not_found": "Ce clic n'existe pas dans ce programme.",
    "award_not_found": "Cette attribution n'existe pas dans ce programme.",
    "hold_not_found": "Cette réserve n'existe pas dans ce programme.",
    "webhook_endpoint_not_found": (
        "Ce point de réception de webhooks n'existe pas dans ce programme."
    ),
    "webhook_delivery_not_found": "Cette livraison de webhook n'existe pas dans ce programme.",
    "dead_letter_not_found": "Cette tâche abandonnée n'existe pas.",
    "provider_not_found": "Ce fournisseur n'est pas configuré ici.",
    "identity_not_found": "Aucune identité de ce fournisseur n'est liée.",
    "push_subscription_not_found": "Rien n’est envoyé à un tel appareil ou navigateur.",
    "method_not_allowed": "Le chemin n'admet pas cette méthode.",
    "conflict": "L'état actuel ne le permet pas.",
    "slug_taken": "Un autre lien porte déjà ce nom.",
    "external_id_taken": "L'identifiant externe est déjà pris dans ce programme.",
    "mail_taken": (
        "Un membre a cette adresse mail ; connectez-vous comme avant, puis liez le fournisseur."
    ),
    "identity_taken": "Un autre membre du programme est lié à cette identité.",
    "provider_already_linked": (
        "Le membre est lié à une autre identité de ce fournisseur ; défaites d'abord ce lien."
    ),
    "last_sign_in_way": "Sans cette identité, le membre ne pourrait plus se connecter.",
    "insufficient_balance": "Le solde est inférieur au montant.",
    "balance_negative": (
        "Le solde est négatif après une annulation ; les prochaines attributions le combleront."
    ),
    "balance_too_large": "Le solde atteindrait 2^53 et ne pourrait plus être compté exactement.",
    "hold_not_open": "La réserve a été utilisée, libérée ou a expiré.",
    "reversal_exceeds_award": "Les annulations ne peuvent dépasser l'attribution.",
    "capture_exceeds_hold": "On ne peut utiliser plus que la réserve.",
    "limit_reached": "Une limite du programme ne permet pas cette attribution maintenant.",
    "budget_exhausted": "Le budget du programme est épuisé.",
    "request_in_flight": (
        "La première requête avec cette Idempotency-Key n'a pas encore reçu de réponse."
    ),
    "gone": "Ce qui était ici n'existe plus.",
    "rate_limited": "Trop de requêtes ; ralentissez.",
    "provider_unavailable": "Le fournisseur n'a pas donné de réponse compréhensible ; recommencez.",
    "unavailable": "Le service ne peut répondre pour l'instant ; rien n'a changé.",
    "not_open": "Les soldes de ce membre sont en reconstruction ; rien n'a changé.",
    "over_capacity": "Trop de travail est en attente ; rien n'a changé.",
    "outcome_unknown": (
        "Le résultat n'est pas connu ; répétez la requête avec la même Idempotency-Key."
    ),
    "address_not_allowed": "Les administrateurs ne sont pas admis depuis cette adresse.",
    "report_forged": "Le fournisseur n’a pas signé ce rapport.",
    "api_key_expired": "La clé d'API a expiré.",
    "api_key_invalid": "La clé d'API n'est pas l'une des nôtres ou a été révoquée.",
    "api_key_not_found": "Cette clé d'API n'existe pas dans ce programme.",
    "api_key_revoked": "La clé d'API a été révoquée, définitivement.",
    "break_glass_not_found": "Cet accès d'urgence n'existe pas ou a pris fin.",
    "code_invalid": (
        "Le code est faux, a déjà servi ou a expiré ; après cinq faux, demandez-en un nouveau."
    ),
    "contact_not_found": "Vous n'avez pas encore ce contact ; dites quelle est l'adresse.",
    "contact_taken": "L'adresse mail ou le numéro de téléphone est à quelqu'un d'autre.",
    "erasure_not_found": "Cet effacement n'existe pas dans ce programme.",
    "export_not_found": "Cet export n'existe pas dans ce programme.",
    "invalid_template": "Le texte ne convient pas à ce modèle.",
    "invitation_not_found": "L'invitation a servi, a été retirée ou a expiré.",
    "registration_not_found": "L'inscription est déjà confirmée ou a expiré.",
    "last_owner": "Il faut un propriétaire actif et, pour la plateforme, un administrateur actif.",
    "mfa_token_invalid": "La connexion a été achevée ou abandonnée ; recommencez.",
    "not_resendable": "Le message est en route ou envoyé, ou son contenu n'est plus gardé.",
    "notification_not_found": "Ce message n'existe pas dans ce programme.",
    "notice_not_found": "Cet avis n'existe pas dans ce programme.",
    "operator_not_found": "Cet opérateur n'existe pas ici.",
    "password_too_weak": "Le mot de passe est de ceux que l'on essaie en premier.",
    "scope_not_yours": "Nul ne transmet un droit qu'il n'a pas.",
    "second_factor_required": "Les administrateurs doivent se connecter avec un second facteur.",
    "session_not_found": "Vous n'avez pas cette session.",
    "sign_in_refused": (
        "Ce n'est pas ainsi que l'on se connecte à ce compte, ou ce compte n'existe pas."
    ),
    "storage_failed": "Le stockage de fichiers ne répond pas ; rien n'a changé.",
    "template_not_found": "Ce modèle n'existe pas.",
    "token_revoked": "La session est terminée ; reconnectez-vous.",
    "totp_enabled": "Une application d'authentification est utilisée ; retirez-la d'abord.",
    "totp_not_enrolled": (
        "Il n'y a pas d'application d'authentification ; enregistrez-en une d'abord."
    ),
    "body_too_slow": "Le corps n'est pas arrivé à temps.",
    "head_too_large": "La ligne de requête ou un en-tête est trop long.",
    "amount_below_minimum": "Le montant est inférieur au minimum que verse le programme.",
    "kyc_not_found": "Le membre n'a remis aucun document.",
    "payout_method_not_found": "Le membre n'a pas ce moyen de versement.",
    "withdrawal_not_found": "Ce retrait n'existe pas dans ce programme.",
    "member_banned": "Le programme a banni le membre.",
    "kyc_not_verified": "Le document qui dit qui est le membre n'est pas encore vérifié.",
    "too_many_payout_methods": (
        "Le membre a déjà tous les moyens de versement possibles ; supprimez-en un d'abord."
    ),
    "withdrawal_not_open": "Le retrait a avancé entre-temps ; cette étape n'est plus possible.",
    "second_approver_needed": (
        "Au-delà du seuil du programme, une seconde personne doit approuver, et pas la même."
    ),
    "category_not_found": "Cette catégorie n'existe pas dans ce programme.",
    "offer_not_found": "Cette offre n'existe pas dans ce programme.",
    "category_slug_taken": "Une autre catégorie du programme porte déjà ce nom.",
    "category_cycle": (
        "Une catégorie ne peut se trouver ni sous elle-même ni sous une de celles qu'elle contient."
    ),
    "category_in_use": (
        "Cette catégorie contient des catégories, des marchands ou des offres ; déplacez-les "
        "d'abord."
    ),
    "offer_not_active": "L'offre n'est pas active en ce moment.",
    "offer_in_use": (
        "L'offre n'est plus un brouillon : des clics peuvent y renvoyer. Mettez-y plutôt fin."
    ),
    "link_in_use": "Le lien appartient à une offre ; modifiez plutôt l'offre.",
    "signature_invalid": "L'appel n'est pas signé par le prestataire, ou pas récemment.",
    "adjustment_not_found": "Cet ajustement n'existe pas dans ce programme.",
    "adjustment_not_open": "L'ajustement est déjà décidé.",
    "fraud_rule_not_found": "Cette règle antifraude n'existe pas dans ce programme.",
    "fraud_case_not_found": "Ce dossier de fraude n'existe pas dans ce programme.",
    "fraud_case_not_open": "Le dossier est déjà décidé.",
    "fraud_list_not_found": "Ce programme n'a pas de liste de ce nom.",
    "reclassification_not_found": "Ce reclassement n'existe pas dans ce programme.",
    "network_not_found": "Ce réseau d'affiliation n'existe pas dans ce programme.",
    "postback_not_found": "Ce postback n'existe pas dans ce programme.",
    "conversion_not_found": "Cette conversion n'existe pas dans ce programme.",
    "conversion_not_open": "L'état de la conversion ne permet pas cette étape.",
    "claim_not_found": "Cette réclamation n'existe pas dans ce programme.",
    "claim_not_open": "La réclamation a avancé depuis, cette étape n'est plus possible.",
    "claim_too_early": "Le réseau peut encore signaler la commande ; réclamez-la plus tard.",
    "too_many_claims": (
        "Le membre a déposé ces 30 derniers jours toutes les réclamations que le programme permet."
    ),
    "order_claimed": "Cette commande est déjà réclamée.",
    "click_claimed": "Ce clic est déjà réclamé.",
    "referral_code_not_found": "Personne n'a ce code dans ce programme.",
    "referrals_closed": "Un parrainage avec ce code ne donne droit à rien en ce moment.",
    "self_referral": (
        "Le code est celui du membre, ou de quelqu'un qui semble être la même personne."
    ),
    "already_referred": "Le membre a déjà utilisé un code.",
    "referral_loop": "Le code est celui de quelqu'un que le membre a lui-même amené.",
    "referral_too_late": ("Un code s'utilise peu après l'inscription, et avant le premier achat."),
}
