"""The passwords that are tried first: those at the head of the published lists of leaked ones, as
far as they are long enough to be set at all, and the words of our own trade.
"""

from __future__ import annotations

from typing import Final

_LIST: Final = """
00000000 000000000 0000000000 01234567 012345678 0123456789 0987654321 10203040 1020304050
1029384756 11111111 111111111 1111111111 11112222 11223344 1122334455 11235813 12121212
123123123 123321123 12341234 12344321 123454321 1234554321 12345678 123456789 1234567890
12345678910 123456789a 123456aa 123456ab 123456abc 123456qwerty 12345qwert 12345qwerty
1234abcd 1234qwer 123abc123 123qweasd 123qweasdzxc 13131313 147258369 147852369 159357258
19951995 1a2b3c4d 1a2s3d4f 1q1q1q1q 1q2w3e4r 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx 1qaz2wsx3edc
1qazxsw2 20202020 20242024 20252025 22222222 2wsx3edc 31415926 314159265 33333333 3edc4rfv
44444444 54321qwe 55555555 66666666 741852963 77777777 789456123 87654321 88888888 963852741
987654321 9876543210 99999999 999999999 a1234567 a12345678 a123456789 a1b2c3d4 a1b2c3d4e5
a1s2d3f4 aa123456 aaa111111 aaaaaaaa aaaaaaaaa abc12345 abc123456 abc123abc abc@1234
abcabcabc abcd1234 abcd12345 abcd@123 abcd@1234 abcdefg1 abcdefgh abcdefghi access14
admin123 admin1234 admin12345 admin123456 admin@123 admin@1234 adminadmin administrator
administrator1 alexander alexander1 amazon123 andrew123 android1 anthony1 arsenal123
asdf1234 asdf;lkj asdfasdf asdfghjk asdfghjkl asdfghjkl1 ashley123 asshole1 autumn2023
autumn2024 autumn2025 azerty123 azertyuiop babygirl babygirl1 barcelona barcelona1
barcelona123 baseball baseball1 basketball batman123 benjamin bharat123 blahblah blink182
bonjour1 bonjour123 brasil123 bullshit butterfly caroline caroline1 cashback cashback1
cashback123 change123 changeme changeme! changeme1 changeme123 charlie1 charlie123 cheese123
chelsea1 chelsea123 chocolate chocolate1 christian christopher computer computer1
computer123 contrasena contraseña cookie123 corazon1 corvette cowboys1 crystal1 daniel123
danielle danielle1 december default1 default123 demo1234 diamond1 dolphins doudou123
dragon12 dragon123 einstein elephant elephant1 elizabeth estrella1 facebook facebook1
facebook123 february ferrari1 flamengo football football1 football123 freedom1 freedom123
friday123 fuckyou! fuckyou1 fuckyou123 fuckyou2 fussball gabriel1 garfield geheim123
george123 ginger123 goodluck goodmorning google123 guest123 guest1234 hacker123 hallo123
hallo1234 hello123 hello1234 hello12345 hellohello helloworld hockey123 ilovegod iloveyou
iloveyou! iloveyou1 iloveyou123 iloveyou2 india123 india1234 india@123 instagram internet
iphone123 isabella isabella1 jaihind1 january1 jennifer jennifer1 jessica1 jonathan
jordan123 jordan23 joshua123 juventus kennwort killer12 killer123 krishna1 lakers24 letmein!
letmein1 letmein123 linkedin liverpool liverpool1 lkjhgfdsa login123 lovelove lovely123
loveme123 loveyou1 loyalty1 loyalty123 manchester mariposa master01 master12 master123
masterkey matrix123 matthew1 maverick mercedes michael1 michelle michelle1 mickey123
microsoft midnight mnbvcxz1 monday123 monkey12 monkey123 moonlight motdepasse motherfucker
mumbai123 mustang1 mypassword napoleon newpassword nicholas nicholas1 ninja123 nothing1
november october1 p@55w0rd p@55word p@ssw0rd p@ssw0rd! p@ssw0rd1 p@ssw0rd123 p@ssword
p@ssword1 pa$$word pakistan pakistan1 pass1234 pass12345 pass123456 pass@123 pass@1234
passpass passw0rd passw0rd! passw0rd1 passwd12 passwd123 password password! password1
password1! password12 password123 password1234 password12345 password@123 passwort passwort1
passwort123 patricia pepper123 phoenix1 poiuytre poiuytrewq pokemon1 pokemon123 porsche1
princess princess1 princess123 q1234567 q1w2e3r4 q1w2e3r4! q1w2e3r4t5 q1w2e3r4t5y6 qaz123wsx
qazwsx123 qazwsxedc qwe123qwe qweasdzxc qwer1234 qwert123 qwerty12 qwerty123 qwerty1234
qwerty12345 qwerty123456 qwerty@123 qwertyqwerty qwertyui qwertyuiop qwertz123 qwertzui
qwertzuiop rainbow1 rainbow123 realmadrid rewards1 rewards123 richard1 robert123 root1234
root@123 rootroot samantha samantha1 samsung1 samsung123 schatzi1 scooby123 secret12
secret123 security security1 senha123 september shadow12 shadow123 snoopy123 snowball
soccer12 soccer123 soleil123 sommer2023 sommer2024 sommer2025 spiderman spring2023
spring2024 spring2025 stampgate stampgate1 stampgate123 starlight starwars starwars1
stephanie stephanie1 summer123 summer2020 summer2021 summer2022 summer2023 summer2024
summer2025 sunflower sunshine sunshine1 sunshine123 superman superman1 superman123 superuser
teamo123 tequiero test1234 test12345 test123456 test@123 test@1234 testing1 testing123
testtest testtest1 thepassword thomas123 tigger123 toor1234 topsecret trustno1 twitter1
user1234 user@123 username username1 veronica victoria victoria1 welcome! welcome1 welcome1!
welcome12 welcome123 welcome2 welcome@123 whatever whatever1 whatever123 whatsapp william1
windows10 windows123 winter123 winter2020 winter2021 winter2022 winter2023 winter2024
winter2025 yankees1 yourpassword zaq12wsx zaq1xsw2 zaq1zaq1 zxcv1234 zxcvbnm, zxcvbnm0
zxcvbnm1 zxcvbnm123
"""
_COMMON: Final = frozenset(_LIST.split())


def is_common(password: str) -> bool:
    """Whether a password (in lower case) is one of them, or one or two characters repeated."""
    return len(set(password)) < 3 or password in _COMMON
