"""What refusals say in Spanish, by code."""

from __future__ import annotations

from typing import Final

TEXTS: Final[dict[str, str]] = {
    "internal_error": "Algo ha fallado por nuestra parte.",
    "bad_request": "No se entiende la petición.",
    "invalid_json": "El cuerpo no es JSON.",
    "idempotency_key_missing": "Falta la cabecera Idempotency-Key.",
    "idempotency_key_invalid": (
        "La Idempotency-Key debe tener de 1 a 255 caracteres ASCII imprimibles."
    ),
    "sign_in_state_invalid": (
        "El inicio de sesión no empezó en este navegador, tardó demasiado o ya terminó; "
        "empiece de nuevo."
    ),
    "sign_in_code_invalid": (
        "El código no es de este programa, ya se usó o es demasiado antiguo; empiece de nuevo."
    ),
    "provider_refused": "El proveedor no dijo quién es; empiece de nuevo.",
    "body_too_large": "El cuerpo es mayor de lo que se admite aquí.",
    "invalid": "La petición está bien formada, pero no tiene sentido.",
    "invalid_request": "La petición no tiene la forma que se espera aquí.",
    "invalid_destination": "Ningún enlace puede llevar a ese destino.",
    "redirect_not_allowed": (
        "La configuración del programa no incluye esta dirección en `sign_in_redirects`."
    ),
    "idempotency_key_reused": "La Idempotency-Key ya se usó con otro cuerpo.",
    "unauthorized": "Hace falta una credencial válida.",
    "token_invalid": "El token no es nuestro.",
    "token_expired": "El token ha caducado.",
    "session_too_old": "La sesión ha durado lo máximo posible; vuelva a iniciar sesión.",
    "forbidden": "La credencial no permite esto.",
    "origin_not_allowed": "Ningún programa permite a páginas de este origen llamar a la API.",
    "insufficient_scope": "A la credencial le falta el permiso que se necesita aquí.",
    "sign_in_declined": "Se rechazó el inicio de sesión con el proveedor.",
    "not_found": "Aquí no hay nada.",
    "program_not_found": "No existe ese programa.",
    "merchant_not_found": "No existe ese comercio en este programa.",
    "member_not_found": "No existe ese miembro en este programa.",
    "link_not_found": "No existe ese enlace.",
    "click_not_found": "No existe ese clic en este programa.",
    "award_not_found": "No existe esa asignación en este programa.",
    "hold_not_found": "No existe esa retención en este programa.",
    "webhook_endpoint_not_found": "No existe ese destino de webhooks en este programa.",
    "webhook_delivery_not_found": "No existe esa entrega de webhook en este programa.",
    "dead_letter_not_found": "No existe esa tarea abandonada.",
    "provider_not_found": "Ese proveedor no está configurado aquí.",
    "identity_not_found": "No hay ninguna identidad de este proveedor vinculada.",
    "push_subscription_not_found": "No se envía nada a un dispositivo o navegador así.",
    "method_not_allowed": "La ruta no admite este método.",
    "conflict": "El estado actual no lo permite.",
    "slug_taken": "Otro enlace ya tiene este nombre.",
    "external_id_taken": "El identificador externo ya está en uso en este programa.",
    "mail_taken": (
        "Un miembro tiene esta dirección de correo; inicie sesión como antes y vincule "
        "después al proveedor."
    ),
    "identity_taken": "Otro miembro del programa está vinculado a esta identidad.",
    "provider_already_linked": (
        "El miembro está vinculado a otra identidad de este proveedor; desvincúlela primero."
    ),
    "last_sign_in_way": "Sin esta identidad el miembro ya no podría iniciar sesión.",
    "insufficient_balance": "El saldo es menor que el importe.",
    "balance_negative": (
        "El saldo es negativo tras una anulación; las próximas asignaciones lo cubrirán."
    ),
    "balance_too_large": "El saldo llegaría a 2^53 y ya no podría contarse con exactitud.",
    "hold_not_open": "La retención se cobró, se liberó o ha caducado.",
    "reversal_exceeds_award": "Las anulaciones no pueden superar la asignación.",
    "capture_exceeds_hold": "No se puede cobrar más de lo retenido.",
    "limit_reached": "Un límite del programa no permite ahora esta asignación.",
    "budget_exhausted": "El presupuesto del programa se ha agotado.",
    "request_in_flight": "La primera petición con esta Idempotency-Key aún no tiene respuesta.",
    "gone": "Lo que había aquí ya no existe.",
    "rate_limited": "Demasiadas peticiones; vaya más despacio.",
    "provider_unavailable": "El proveedor no dio una respuesta comprensible; empiece de nuevo.",
    "unavailable": "El servicio no puede responder ahora; nada ha cambiado.",
    "not_open": "Los saldos de este miembro se están reconstruyendo; nada ha cambiado.",
    "over_capacity": "Hay demasiado trabajo en espera; nada ha cambiado.",
    "outcome_unknown": (
        "No se conoce el resultado; repita la petición con la misma Idempotency-Key."
    ),
    "address_not_allowed": "Los administradores no pueden entrar desde esta dirección.",
    "report_forged": "El proveedor no ha firmado este informe.",
    "api_key_expired": "La clave de API ha caducado.",
    "api_key_invalid": "La clave de API no es nuestra o fue revocada.",
    "api_key_not_found": "No existe esa clave de API en este programa.",
    "api_key_revoked": "La clave de API fue revocada, y eso es definitivo.",
    "break_glass_not_found": "No existe ese acceso de emergencia o ya terminó.",
    "code_invalid": (
        "El código es incorrecto, ya se usó o ha caducado; tras cinco incorrectos pida uno nuevo."
    ),
    "contact_not_found": "Aún no tiene ese contacto; indique cuál es la dirección.",
    "contact_taken": "La dirección de correo o el número de teléfono es de otra persona.",
    "erasure_not_found": "No existe ese borrado en este programa.",
    "export_not_found": "No existe esa exportación en este programa.",
    "invalid_template": "El texto no sirve para esta plantilla.",
    "invitation_not_found": "La invitación se usó, se retiró o ha caducado.",
    "registration_not_found": "El registro ya se confirmó o ha caducado.",
    "last_owner": (
        "Debe haber un propietario activo y, para la plataforma, un administrador activo."
    ),
    "mfa_token_invalid": "El inicio de sesión se completó o se abandonó; empiece de nuevo.",
    "not_resendable": "El aviso está en camino o se envió, o ya no se guarda lo que decía.",
    "notification_not_found": "No existe ese aviso en este programa.",
    "notice_not_found": "No existe esa comunicación en este programa.",
    "operator_not_found": "No existe ese operador aquí.",
    "password_too_weak": "La contraseña es una de las que se prueban primero.",
    "scope_not_yours": "Nadie cede lo que no puede hacer por sí mismo.",
    "second_factor_required": "Los administradores deben iniciar sesión con un segundo factor.",
    "session_not_found": "No tiene esa sesión.",
    "sign_in_refused": "Así no se entra en esta cuenta, o no existe tal cuenta.",
    "storage_failed": "El almacén de archivos no responde; nada ha cambiado.",
    "template_not_found": "No existe esa plantilla.",
    "token_revoked": "La sesión ha terminado; inicie sesión de nuevo.",
    "totp_enabled": "Hay una aplicación de autenticación en uso; quítela primero.",
    "totp_not_enrolled": "No hay ninguna aplicación de autenticación; registre una primero.",
    "body_too_slow": "El cuerpo no llegó a tiempo.",
    "head_too_large": "La línea de petición o una cabecera es demasiado larga.",
    "amount_below_minimum": "El importe es menor que el mínimo que paga el programa.",
    "kyc_not_found": "El miembro no ha entregado ningún documento.",
    "payout_method_not_found": "El miembro no tiene ese medio de cobro.",
    "withdrawal_not_found": "No existe esa retirada en este programa.",
    "member_banned": "El programa ha vetado al miembro.",
    "kyc_not_verified": "El documento que dice quién es el miembro aún no se ha verificado.",
    "too_many_payout_methods": (
        "El miembro ya tiene todos los medios de cobro posibles; elimine uno primero."
    ),
    "withdrawal_not_open": "La retirada ha seguido su curso; este paso ya no se puede dar.",
    "second_approver_needed": (
        "Por encima del límite del programa debe aprobar una segunda persona, no la misma."
    ),
    "category_not_found": "No existe esa categoría en este programa.",
    "offer_not_found": "No existe esa oferta en este programa.",
    "category_slug_taken": "Otra categoría del programa ya se llama así.",
    "category_cycle": (
        "Una categoría no puede estar debajo de sí misma ni de otra que esté debajo de ella."
    ),
    "category_in_use": "Hay categorías, comercios u ofertas en esta categoría; muévalos primero.",
    "offer_not_active": "La oferta no está activa ahora.",
    "offer_in_use": (
        "La oferta ya no es un borrador: puede haber clics que remitan a ella. Dela por terminada."
    ),
    "link_in_use": "El enlace pertenece a una oferta; cambie la oferta.",
    "signature_invalid": "La llamada no está firmada por el proveedor, o no recientemente.",
    "adjustment_not_found": "No existe ese ajuste en este programa.",
    "adjustment_not_open": "El ajuste ya está decidido.",
    "fraud_rule_not_found": "No existe esa regla antifraude en este programa.",
    "fraud_case_not_found": "No existe ese caso de fraude en este programa.",
    "fraud_case_not_open": "El caso ya está decidido.",
    "fraud_list_not_found": "No existe una lista con ese nombre en este programa.",
    "reclassification_not_found": "No existe esa reclasificación en este programa.",
    "network_not_found": "No existe esa red de afiliados en este programa.",
    "postback_not_found": "No existe ese postback en este programa.",
    "conversion_not_found": "No existe esa conversión en este programa.",
    "conversion_not_open": "El estado de la conversión no permite este paso.",
    "claim_not_found": "No existe esa reclamación en este programa.",
    "claim_not_open": "La reclamación ha avanzado y este paso ya no es posible.",
    "claim_too_early": "La red aún puede informar del pedido; reclámelo más tarde.",
    "too_many_claims": (
        "El miembro ya ha presentado en los últimos 30 días todas las reclamaciones que permite el "
        "programa."
    ),
    "order_claimed": "Este pedido ya está reclamado.",
    "click_claimed": "Este clic ya está reclamado.",
    "referral_code_not_found": "Nadie tiene ese código en este programa.",
    "referrals_closed": "Ahora no se da nada por una recomendación con este código.",
    "self_referral": (
        "El código es del propio miembro, o de alguien que parece ser la misma persona."
    ),
    "already_referred": "El miembro ya ha usado un código.",
    "referral_loop": "El código es de alguien a quien trajo el propio miembro.",
    "referral_too_late": (
        "Un código se usa poco después de entrar en el programa, y antes de la primera compra."
    ),
}
