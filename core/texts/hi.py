"""Built-in texts in Hindi."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.templates import Texts

EMAIL: Final[Mapping[str, Texts]] = {
    "sign_in_code": Texts(
        subject="{program} में साइन इन करने का कोड",
        text="""\
{program} में साइन इन करने के लिए आपका कोड:

    {code}

यह {minutes} मिनट तक मान्य है। {program} का कोई भी व्यक्ति आपसे यह कोड कभी नहीं माँगेगा।
यदि आप साइन इन नहीं करना चाहते थे, तो इस संदेश को अनदेखा करें।
""",
    ),
    "verify_contact": Texts(
        subject="{program} के लिए अपने पते की पुष्टि करें",
        text="""\
{program} के लिए इस पते की पुष्टि करने का कोड:

    {code}

यह {minutes} मिनट तक मान्य है। यदि आपने यह नहीं माँगा, तो इस संदेश को अनदेखा करें।
""",
    ),
    "reset_password": Texts(
        subject="{program} के लिए नया पासवर्ड",
        text="""\
{program} पर नया पासवर्ड बनाने के लिए आपका कोड:

    {code}

यह {minutes} मिनट तक मान्य है। यदि आपने यह नहीं माँगा, तो इस संदेश को अनदेखा करें: आपका पासवर्ड वही रहेगा।
""",
    ),
    "invite_operator": Texts(
        subject="{program} पर काम करने का निमंत्रण",
        text="""\
{program} पर आपके लिए एक खाता बनाया गया है। इस कोड से अपना पासवर्ड बनाएँ:

    {code}

यह {hours} घंटे तक मान्य है।
""",
    ),
    "already_registered": Texts(
        subject="{program} पर आपका खाता पहले से है",
        text="""\
किसी ने इस पते से {program} पर पंजीकरण करने का प्रयास किया, जबकि इस पते का खाता पहले से है।
यदि वह आप थे, तो साइन इन करें या नया पासवर्ड माँगें। नहीं तो आपको कुछ नहीं करना है।
""",
    ),
    "password_changed": Texts(
        subject="{program} का आपका पासवर्ड बदल दिया गया है",
        text="""\
{program} का आपका पासवर्ड बदल दिया गया है। यदि यह आपने नहीं किया, तो अभी नया पासवर्ड बनाएँ।
""",
    ),
    "second_factor_on": Texts(
        subject="{program} पर दो चरणों वाला साइन इन चालू है",
        text="""\
अब से {program} में साइन इन करने के लिए आपके ऑथेंटिकेटर ऐप का कोड भी चाहिए।
यदि यह आपने चालू नहीं किया, तो {program} को लिखें।
""",
    ),
    "second_factor_off": Texts(
        subject="{program} पर दो चरणों वाला साइन इन बंद है",
        text="""\
अब से {program} में साइन इन करने के लिए केवल आपका पासवर्ड चाहिए।
यदि यह आपने बंद नहीं किया, तो अभी नया पासवर्ड बनाएँ।
""",
    ),
    "contact_changed": Texts(
        subject="{program} पर आपका पता बदल दिया गया है",
        text="""\
{program} पर आपके खाते में अब इस ईमेल पते की जगह दूसरा पता है।
यदि यह आपने नहीं बदला, तो अभी {program} को लिखें।
""",
    ),
    "sign_in_added": Texts(
        subject="{program} में साइन इन करने का नया तरीका जुड़ा है",
        text="""\
{program} पर आपके खाते में अब किसी नए संपर्क या किसी दूसरी सेवा के खाते से भी साइन इन किया जा सकता है।
यदि यह आपने नहीं जोड़ा, तो अभी {program} को लिखें।
""",
    ),
    "break_glass": Texts(
        subject="{program} तक आपातकालीन पहुँच",
        text="""\
प्लेटफ़ॉर्म के कर्मचारी ({operator}) ने {minutes} मिनट के लिए {program} तक आपातकालीन पहुँच ली है।

कारण: {reason}

इस दौरान किया गया हर काम आपके ऑडिट लॉग में दर्ज होता है।
""",
    ),
    "export_ready": Texts(
        subject="{program} पर आपका डेटा",
        text="""\
{program} ने आपके बारे में जो जानकारी रखी है, वह तैयार है:

{url}

यह लिंक {hours} घंटे तक मान्य है। जिसके पास यह लिंक है, वह आपका डेटा पढ़ सकता है: इसे किसी को न दें।
""",
    ),
    "withdrawal_requested": Texts(
        subject="{amount} की निकासी का अनुरोध मिला",
        text="""\
आपने {program} से {amount} निकालने का अनुरोध किया है। जाँच होने तक यह राशि अलग रखी गई है।
यदि यह आपने नहीं किया, तो अभी {program} को लिखें।
""",
    ),
    "withdrawal_approved": Texts(
        subject="{amount} की निकासी मंज़ूर हुई",
        text="""\
{program} से आपकी {amount} की निकासी मंज़ूर हो गई है और भुगतान किया जाएगा।
""",
    ),
    "withdrawal_rejected": Texts(
        subject="{amount} की निकासी का भुगतान नहीं हुआ",
        text="""\
{program} से आपकी {amount} की निकासी का भुगतान नहीं हुआ, और राशि फिर से उपलब्ध है।

कारण: {reason}
""",
    ),
    "withdrawal_paid": Texts(
        subject="निकासी पूरी हुई! UTR: {utr}",
        text="""\
निकासी पूरी हुई! UTR: {utr}

{program} ने आपको {amount} का भुगतान किया है। आपका बैंक इस UTR से भुगतान खोज सकता है।
""",
    ),
    "cashback_credited": Texts(
        subject="{amount} कैशबैक जमा हुआ!",
        text="""\
{amount} कैशबैक जमा हुआ!

यह अब {program} में आपके बैलेंस में है; आप इसे निकाल सकते हैं।
""",
    ),
    "referral_rewarded": Texts(
        subject="रेफ़रल के लिए {amount} मिले!",
        text="""\
रेफ़रल के लिए {amount} मिले!

पहली ख़रीद की पुष्टि हो गई है। राशि अब {program} में आपके बैलेंस में है; आप इसे निकाल सकते हैं।
""",
    ),
    "withdrawal_reversed": Texts(
        subject="{amount} की निकासी वापस आ गई",
        text="""\
आपके बैंक ने {amount} का भुगतान {program} को लौटा दिया है। राशि फिर से उपलब्ध है।
दोबारा अनुरोध करने से पहले जाँच लें कि आप भुगतान कहाँ चाहते हैं।
""",
    ),
    "claim_accepted": Texts(
        subject="ऑर्डर {order} पर आपका दावा मंज़ूर हुआ",
        text="""\
{program} ने ऑर्डर {order} पर आपका दावा मंज़ूर किया: {amount} कैशबैक। दुकान का नेटवर्क ऑर्डर की पुष्टि करे तो यह पक्का
आपका है; वह मना करे तो यह वापस ले लिया जाएगा।
""",
    ),
    "claim_sent": Texts(
        subject="ऑर्डर {order} पर आपके दावे की जाँच हो रही है",
        text="""\
{program} ने दुकान के नेटवर्क से ऑर्डर {order} के बारे में पूछा है। इसमें कुछ हफ़्ते लग सकते हैं।
""",
    ),
    "claim_inquiry": Texts(
        subject="ऑर्डर {order} की सूचना नहीं मिली",
        text="""\
{program} के एक ग्राहक ने {merchant} के लिंक पर क्लिक करके ऑर्डर दिया, पर उसकी सूचना नहीं मिली।
कृपया जाँच करें।

    ऑर्डर        {order}
    राशि         {amount}
    ऑर्डर का समय  {ordered_at}
    क्लिक         {click}
    क्लिक का समय  {clicked_at}
    हमारा दावा    {claim}
""",
    ),
    "claim_rejected": Texts(
        subject="ऑर्डर {order} पर आपका दावा मंज़ूर नहीं हुआ",
        text="""\
{program} ऑर्डर {order} पर आपको कैशबैक नहीं दे सकता।

{reason}
""",
    ),
}

SMS: Final[Mapping[str, Texts]] = {
    "sign_in_code": Texts(
        text="{program} में साइन इन करने के लिए आपका कोड {code} है, {minutes} मिनट तक मान्य। इसे किसी को न बताएँ।"
    ),
    "verify_contact": Texts(
        text="{program} के लिए इस नंबर की पुष्टि का कोड {code} है, {minutes} मिनट तक मान्य।"
    ),
    "reset_password": Texts(
        text="{program} पर नए पासवर्ड के लिए आपका कोड {code} है, {minutes} मिनट तक मान्य।"
    ),
    "password_changed": Texts(
        text="{program} का आपका पासवर्ड बदल दिया गया है। यदि यह आपने नहीं किया, तो अभी नया पासवर्ड बनाएँ।"
    ),
    "contact_changed": Texts(
        text="{program} पर आपके खाते में अब इस फ़ोन नंबर की जगह दूसरा नंबर है। यदि यह आपने नहीं किया, तो अभी {program} को लिखें।"
    ),
    "sign_in_added": Texts(
        text="{program} पर आपके खाते में साइन इन करने का नया तरीका जुड़ा है। यदि यह आपने नहीं किया, तो अभी {program} को लिखें।"
    ),
    "withdrawal_requested": Texts(
        text="आपने {program} से {amount} निकालने का अनुरोध किया। यदि यह आप नहीं थे, तो अभी हमें लिखें।"
    ),
    "withdrawal_approved": Texts(
        text="{program} से आपकी {amount} की निकासी मंज़ूर हुई और भुगतान किया जाएगा।"
    ),
    "withdrawal_rejected": Texts(
        text="{program} से आपकी {amount} की निकासी का भुगतान नहीं हुआ: {reason}"
    ),
    "withdrawal_paid": Texts(
        text="निकासी पूरी हुई! UTR: {utr}। {program} ने आपको {amount} का भुगतान किया।"
    ),
    "cashback_credited": Texts(text="{amount} कैशबैक जमा हुआ! यह अब {program} में आपके बैलेंस में है।"),
    "referral_rewarded": Texts(text="रेफ़रल के लिए {amount} मिले! राशि अब {program} में आपके बैलेंस में है।"),
    "withdrawal_reversed": Texts(
        text="आपके बैंक ने {program} का {amount} का भुगतान लौटा दिया; राशि फिर से उपलब्ध है।"
    ),
    "claim_accepted": Texts(
        text="{program} ने ऑर्डर {order} पर आपका दावा मंज़ूर किया: {amount}, नेटवर्क की पुष्टि होने तक।"
    ),
    "claim_sent": Texts(
        text="{program} ने नेटवर्क से ऑर्डर {order} के बारे में पूछा है। इसमें कुछ हफ़्ते लग सकते हैं।"
    ),
    "claim_rejected": Texts(text="{program} ऑर्डर {order} पर आपको कैशबैक नहीं दे सकता। {reason}"),
}

#: Why a claim was not accepted, by its reason.
CLAIM_REASONS: Final[Mapping[str, str]] = {
    "no_click": "ऑर्डर से पहले इस दुकान पर आपका कोई क्लिक हमें नहीं मिला।",
    "not_an_offer": "आपका क्लिक किसी ऑफ़र पर नहीं था।",
    "order_before_click": "ऑर्डर आपके क्लिक से पहले दिया गया था।",
    "order_too_late": "ऑर्डर आपके क्लिक के बहुत देर बाद दिया गया था।",
    "claim_too_late": "आपका क्लिक बहुत पुराना है।",
    "click_reported": "दुकान का नेटवर्क आपके क्लिक की ख़रीद पहले ही बता चुका है।",
    "order_reported": "दुकान का नेटवर्क यह ऑर्डर पहले ही बता चुका है।",
    "no_cashback": "इस ऑर्डर पर ऑफ़र कोई कैशबैक नहीं देता।",
    "declined": "दुकान के नेटवर्क ने ऑर्डर की पुष्टि नहीं की।",
    "other": "हमारे रिकॉर्ड ख़रीद की पुष्टि नहीं करते।",
}

#: Why a withdrawal was not paid, by its state.
WITHDRAWAL_REASONS: Final[Mapping[str, str]] = {
    "failed": "बैंक भुगतान नहीं कर सका। कृपया वह खाता जाँचें जिसमें पैसा जाना है।",
    "rejected": "प्रोग्राम ने इसे स्वीकार नहीं किया।",
}
