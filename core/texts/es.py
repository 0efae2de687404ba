"""Built-in texts in Spanish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.templates import Texts

EMAIL: Final[Mapping[str, Texts]] = {
    "sign_in_code": Texts(
        subject="Tu código para entrar en {program}",
        text="""\
Tu código para iniciar sesión en {program}:

    {code}

Vale durante {minutes} minutos. Nadie de {program} te lo pedirá nunca.
Si no querías iniciar sesión, ignora este mensaje.
""",
    ),
    "verify_contact": Texts(
        subject="Confirma tu dirección para {program}",
        text="""\
Tu código para confirmar esta dirección en {program}:

    {code}

Vale durante {minutes} minutos. Si no lo has pedido, ignora este mensaje.
""",
    ),
    "reset_password": Texts(
        subject="Una contraseña nueva para {program}",
        text="""\
Tu código para elegir una contraseña nueva en {program}:

    {code}

Vale durante {minutes} minutos. Si no lo has pedido, ignora este mensaje: tu contraseña sigue siendo la misma.
""",
    ),
    "invite_operator": Texts(
        subject="Invitación para trabajar en {program}",
        text="""\
Se ha creado una cuenta para ti en {program}. Elige tu contraseña con este código:

    {code}

Vale durante {hours} horas.
""",
    ),
    "already_registered": Texts(
        subject="Ya tienes una cuenta en {program}",
        text="""\
Alguien ha intentado registrarse en {program} con esta dirección, que ya tiene una cuenta.
Si fuiste tú, inicia sesión o pide una contraseña nueva. Si no, no tienes que hacer nada.
""",
    ),
    "password_changed": Texts(
        subject="Se ha cambiado tu contraseña de {program}",
        text="""\
Se ha cambiado tu contraseña de {program}. Si no fuiste tú, elige otra ahora mismo.
""",
    ),
    "second_factor_on": Texts(
        subject="Verificación en dos pasos activada en {program}",
        text="""\
A partir de ahora, para entrar en {program} necesitas también un código de tu aplicación de autenticación.
Si no la activaste tú, escribe a {program}.
""",
    ),
    "second_factor_off": Texts(
        subject="Verificación en dos pasos desactivada en {program}",
        text="""\
A partir de ahora, para entrar en {program} basta con tu contraseña.
Si no la desactivaste tú, elige otra contraseña ahora mismo.
""",
    ),
    "contact_changed": Texts(
        subject="Tu dirección de {program} ha cambiado",
        text="""\
Tu cuenta de {program} tiene ahora otra dirección de correo en lugar de esta.
Si no la cambiaste tú, escribe ahora mismo a {program}.
""",
    ),
    "sign_in_added": Texts(
        subject="Hay una nueva forma de entrar en {program}",
        text="""\
Ahora se puede entrar en tu cuenta de {program} con un nuevo contacto o con una cuenta de otro servicio.
Si no lo añadiste tú, escribe ahora mismo a {program}.
""",
    ),
    "break_glass": Texts(
        subject="Acceso de emergencia a {program}",
        text="""\
El equipo de la plataforma ({operator}) ha tomado acceso de emergencia a {program} durante {minutes} minutos.

Motivo: {reason}

Todo lo que se haga mientras tanto queda en tu registro de auditoría.
""",
    ),
    "export_ready": Texts(
        subject="Tus datos en {program}",
        text="""\
Lo que {program} ha guardado sobre ti está listo:

{url}

El enlace vale durante {hours} horas. Quien lo tenga puede leer tus datos: no lo compartas.
""",
    ),
    "withdrawal_requested": Texts(
        subject="Ha pedido retirar {amount}",
        text="""\
Ha pedido a {program} que le pague {amount}. El dinero queda apartado hasta que alguien lo revise.
Si no fue usted, escriba ahora a {program}.
""",
    ),
    "withdrawal_approved": Texts(
        subject="Su retirada de {amount} está aprobada",
        text="""\
Su retirada de {amount} de {program} está aprobada y se pagará.
""",
    ),
    "withdrawal_rejected": Texts(
        subject="Su retirada de {amount} no se ha pagado",
        text="""\
Su retirada de {amount} de {program} no se ha pagado, y el dinero vuelve a estar disponible.

Motivo: {reason}
""",
    ),
    "withdrawal_paid": Texts(
        subject="¡Retirada pagada! UTR: {utr}",
        text="""\
¡Retirada pagada! UTR: {utr}

{program} le ha pagado {amount}. Su banco encuentra el pago con esta UTR.
""",
    ),
    "cashback_credited": Texts(
        subject="¡{amount} de cashback abonados!",
        text="""\
¡{amount} de cashback abonados!

Ya están en su saldo de {program}, y puede retirarlos.
""",
    ),
    "referral_rewarded": Texts(
        subject="¡{amount} por una recomendación!",
        text="""\
¡{amount} por una recomendación!

La primera compra está confirmada. El dinero ya está en su saldo de {program}, y puede retirarlo.
""",
    ),
    "withdrawal_reversed": Texts(
        subject="Su retirada de {amount} ha vuelto",
        text="""\
Su banco ha devuelto a {program} el pago de {amount}. El dinero vuelve a estar disponible.
Compruebe dónde quiere cobrar antes de pedirlo otra vez.
""",
    ),
    "claim_accepted": Texts(
        subject="Su reclamación del pedido {order} está aceptada",
        text="""\
{program} ha aceptado su reclamación del pedido {order}: {amount} de cashback. Será suyo definitivamente cuando
la red de la tienda confirme el pedido, y se retirará si lo rechaza.
""",
    ),
    "claim_sent": Texts(
        subject="Su reclamación del pedido {order} se está estudiando",
        text="""\
{program} ha preguntado a la red de la tienda por el pedido {order}. Puede tardar unas semanas.
""",
    ),
    "claim_inquiry": Texts(
        subject="El pedido {order} no se ha comunicado",
        text="""\
Una persona hizo clic en {program} hacia {merchant} y compró, pero el pedido no se ha comunicado.
Por favor, compruébenlo.

    pedido          {order}
    importe         {amount}
    fecha           {ordered_at}
    clic            {click}
    fecha del clic  {clicked_at}
    nuestro caso    {claim}
""",
    ),
    "claim_rejected": Texts(
        subject="Su reclamación del pedido {order} no se ha aceptado",
        text="""\
{program} no puede darle cashback por el pedido {order}.

{reason}
""",
    ),
}

SMS: Final[Mapping[str, Texts]] = {
    "sign_in_code": Texts(
        text="{code} es tu código para entrar en {program}, válido {minutes} minutos. No se lo digas a nadie."
    ),
    "verify_contact": Texts(
        text="{code} confirma este número para {program}. El código vale {minutes} minutos."
    ),
    "reset_password": Texts(
        text="{code} es tu código para una contraseña nueva en {program}, válido {minutes} minutos."
    ),
    "password_changed": Texts(
        text="Se ha cambiado tu contraseña de {program}. Si no fuiste tú, elige otra ahora mismo."
    ),
    "contact_changed": Texts(
        text="Tu cuenta de {program} tiene ahora otro número de teléfono en lugar de este. Si no fuiste tú, escribe ahora mismo a {program}."
    ),
    "sign_in_added": Texts(
        text="Hay una nueva forma de entrar en tu cuenta de {program}. Si no fuiste tú, escribe ahora mismo a {program}."
    ),
    "withdrawal_requested": Texts(
        text="Ha pedido a {program} que le pague {amount}. Si no fue usted, escríbanos ahora."
    ),
    "withdrawal_approved": Texts(
        text="Su retirada de {amount} de {program} está aprobada y se pagará."
    ),
    "withdrawal_rejected": Texts(
        text="Su retirada de {amount} de {program} no se ha pagado: {reason}"
    ),
    "withdrawal_paid": Texts(text="¡Retirada pagada! UTR: {utr}. {program} le ha pagado {amount}."),
    "cashback_credited": Texts(
        text="¡{amount} de cashback abonados! Ya están en su saldo de {program}."
    ),
    "referral_rewarded": Texts(
        text="¡{amount} por una recomendación! Ya está en su saldo de {program}."
    ),
    "withdrawal_reversed": Texts(
        text="Su banco ha devuelto a {program} el pago de {amount}; vuelve a estar disponible."
    ),
    "claim_accepted": Texts(
        text="{program} ha aceptado su reclamación del pedido {order}: {amount}, hasta que la red lo confirme."
    ),
    "claim_sent": Texts(
        text="{program} ha preguntado a la red de la tienda por el pedido {order}. Puede tardar unas semanas."
    ),
    "claim_rejected": Texts(
        text="{program} no puede darle cashback por el pedido {order}. {reason}"
    ),
}

#: Why a claim was not accepted, by its reason.
CLAIM_REASONS: Final[Mapping[str, str]] = {
    "no_click": "No encontramos ningún clic suyo en esta tienda antes del pedido.",
    "not_an_offer": "Su clic no fue en una oferta.",
    "order_before_click": "El pedido se hizo antes de su clic.",
    "order_too_late": "El pedido se hizo demasiado tiempo después de su clic.",
    "claim_too_late": "Ha pasado demasiado tiempo desde su clic.",
    "click_reported": "La red de la tienda ya ha comunicado una compra por su clic.",
    "order_reported": "La red de la tienda ya ha comunicado este pedido.",
    "no_cashback": "La oferta no da cashback por este pedido.",
    "declined": "La red de la tienda no ha confirmado el pedido.",
    "other": "Nuestros registros no confirman la compra.",
}

#: Why a withdrawal was not paid, by its state.
WITHDRAWAL_REASONS: Final[Mapping[str, str]] = {
    "failed": "El banco no pudo hacer el pago. Compruebe la cuenta a la que debe ir.",
    "rejected": "El programa no la ha aceptado.",
}
