"""Bilingual word lists and small facts. Rows are (English, Chinese); nothing here draws or formats."""

from __future__ import annotations

from typing import Final


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    rows = (item.strip().split("=") for item in text.split(","))
    return tuple((left.strip(), right.strip()) for left, right in rows)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _rows(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(cell.strip() for cell in line.split("|")) for line in text.strip().splitlines())


# country, capital, country (Chinese), capital (Chinese)
CAPITALS: Final = _rows("""
France|Paris|法国|巴黎
Japan|Tokyo|日本|东京
China|Beijing|中国|北京
Germany|Berlin|德国|柏林
Italy|Rome|意大利|罗马
Spain|Madrid|西班牙|马德里
Russia|Moscow|俄罗斯|莫斯科
Egypt|Cairo|埃及|开罗
India|New Delhi|印度|新德里
Canada|Ottawa|加拿大|渥太华
Brazil|Brasilia|巴西|巴西利亚
Mexico|Mexico City|墨西哥|墨西哥城
Greece|Athens|希腊|雅典
Turkey|Ankara|土耳其|安卡拉
Thailand|Bangkok|泰国|曼谷
Vietnam|Hanoi|越南|河内
Poland|Warsaw|波兰|华沙
Portugal|Lisbon|葡萄牙|里斯本
Austria|Vienna|奥地利|维也纳
Sweden|Stockholm|瑞典|斯德哥尔摩
Norway|Oslo|挪威|奥斯陆
Finland|Helsinki|芬兰|赫尔辛基
Denmark|Copenhagen|丹麦|哥本哈根
Ireland|Dublin|爱尔兰|都柏林
Cuba|Havana|古巴|哈瓦那
Kenya|Nairobi|肯尼亚|内罗毕
Peru|Lima|秘鲁|利马
Chile|Santiago|智利|圣地亚哥
Argentina|Buenos Aires|阿根廷|布宜诺斯艾利斯
Australia|Canberra|澳大利亚|堪培拉
Indonesia|Jakarta|印度尼西亚|雅加达
South Korea|Seoul|韩国|首尔
Hungary|Budapest|匈牙利|布达佩斯
Belgium|Brussels|比利时|布鲁塞尔
Iran|Tehran|伊朗|德黑兰
Iraq|Baghdad|伊拉克|巴格达
Nepal|Kathmandu|尼泊尔|加德满都
Mongolia|Ulaanbaatar|蒙古|乌兰巴托
the United Kingdom|London|英国|伦敦
the United States|Washington|美国|华盛顿
""")

# thing (with article), colour, thing (Chinese), colour (Chinese)
COLOURS: Final = _rows("""
the sky|blue|天空|蓝色
grass|green|草|绿色
snow|white|雪|白色
a banana|yellow|香蕉|黄色
an orange|orange|橙子|橙色
coal|black|煤|黑色
blood|red|血|红色
a tomato|red|西红柿|红色
a lemon|yellow|柠檬|黄色
a strawberry|red|草莓|红色
the sea|blue|大海|蓝色
milk|white|牛奶|白色
a leaf|green|树叶|绿色
the sun|yellow|太阳|黄色
an elephant|grey|大象|灰色
chocolate|brown|巧克力|棕色
a carrot|orange|胡萝卜|橙色
a crow|black|乌鸦|黑色
a swan|white|天鹅|白色
a frog|green|青蛙|绿色
an eggplant|purple|茄子|紫色
a cucumber|green|黄瓜|绿色
rice|white|米饭|白色
salt|white|盐|白色
""")

# animal, sound, young, legs, animal (Chinese), sound (Chinese), home, home (Chinese)
ANIMALS: Final = _rows("""
dog|woof|puppy|4|狗|汪汪|a kennel|狗窝
cat|meow|kitten|4|猫|喵喵|a house|屋子
cow|moo|calf|4|牛|哞哞|a barn|牛棚
duck|quack|duckling|2|鸭子|嘎嘎|a pond|池塘
sheep|baa|lamb|4|羊|咩咩|a field|草地
pig|oink|piglet|4|猪|哼哼|a sty|猪圈
rooster|cock-a-doodle-doo|chick|2|公鸡|喔喔|a farm|农场
frog|ribbit|tadpole|4|青蛙|呱呱|a pond|池塘
lion|roar|cub|4|狮子|吼吼|the savanna|草原
bee|buzz|larva|6|蜜蜂|嗡嗡|a hive|蜂巢
bird|tweet|chick|2|小鸟|叽叽|a nest|鸟窝
mouse|squeak|pup|4|老鼠|吱吱|a hole|洞
horse|neigh|foal|4|马|咴咴|a stable|马厩
wolf|howl|pup|4|狼|嗷嗷|a den|山洞
snake|hiss|snakelet|0|蛇|嘶嘶|the grass|草丛
owl|hoot|owlet|2|猫头鹰|咕咕|a tree|大树
""")

OPPOSITES: Final = _rows("""
hot|cold|热|冷
big|small|大|小
up|down|上|下
fast|slow|快|慢
day|night|白天|黑夜
open|closed|开|关
old|new|旧|新
happy|sad|高兴|难过
bright|dark|亮|暗
hard|soft|硬|软
high|low|高|低
long|short|长|短
wet|dry|湿|干
left|right|左|右
rich|poor|富|穷
full|empty|满|空
early|late|早|晚
strong|weak|强|弱
good|bad|好|坏
black|white|黑|白
near|far|近|远
heavy|light|重|轻
thick|thin|厚|薄
clean|dirty|干净|肮脏
inside|outside|里面|外面
""")

WORDS: Final = _pairs(
    "dog=狗, cat=猫, bird=鸟, fish=鱼, horse=马, tiger=老虎, lion=狮子, rabbit=兔子, monkey=猴子, panda=熊猫, "
    "apple=苹果, pear=梨, grape=葡萄, peach=桃子, melon=西瓜, bread=面包, rice=米饭, milk=牛奶, water=水, tea=茶, "
    "red=红色, blue=蓝色, green=绿色, yellow=黄色, white=白色, black=黑色, book=书, pen=笔, chair=椅子, table=桌子, "
    "door=门, window=窗户, house=房子, school=学校, city=城市, river=河流, mountain=山, sea=大海, sun=太阳, moon=月亮, "
    "star=星星, tree=树, flower=花, rain=雨, snow=雪, wind=风, hand=手, eye=眼睛, mother=妈妈, father=爸爸, "
    "friend=朋友, teacher=老师, doctor=医生, car=汽车, train=火车, plane=飞机, bridge=桥, music=音乐, love=爱, "
    "time=时间"
)

LIST_WORDS_CHINESE: Final = _words(
    "苹果 香蕉 葡萄 西瓜 桃子 老虎 狮子 兔子 猴子 熊猫 太阳 月亮 星星 大海 河流 汽车 火车 飞机 桌子 椅子 "
    "窗户 房子 学校 城市 音乐 朋友 老师 医生 面包 牛奶 眼睛 时间 花园 森林 雪山 草地 电话 铅笔 书包 雨伞"
)
LIST_WORDS_ENGLISH: Final = _words(
    "apple banana grape melon peach tiger lion rabbit monkey panda sun moon star sea river car train plane table "
    "chair window house school city music friend teacher doctor bread milk eye time garden forest snow grass phone "
    "pencil bag rain"
)

NAMES_ENGLISH: Final = _words(
    "Anna Tom Lucy Ben Emma Jack Mia Leo Nina Sam Zoe Max Ella Paul Rosa Adam Lily Mark Julia Peter Alice David Sara "
    "Kevin Laura Eric Helen Frank Grace Oscar Clara Henry Ivan Maria Simon Tina Victor Wendy Carl Dora"
)
NAMES_CHINESE: Final = _words(
    "李雷 韩梅 小明 小红 王芳 张伟 刘洋 陈晨 小丽 小刚 李娜 赵敏 周杰 吴磊 郑爽 孙悦 小华 小军 林涛 何静 "
    "高峰 马丽 杨帆 朱琳 徐亮 胡军 郭鹏 罗兰 梁红 宋佳"
)

DAYS: Final = _pairs(
    "Monday=星期一, Tuesday=星期二, Wednesday=星期三, Thursday=星期四, Friday=星期五, Saturday=星期六, Sunday=星期日"
)
MONTHS: Final = _pairs(
    "January=一月, February=二月, March=三月, April=四月, May=五月, June=六月, July=七月, August=八月, September=九月, "
    "October=十月, November=十一月, December=十二月"
)
MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

# question noun phrase, answer sentence, the same in Chinese
SCIENCE: Final = _rows("""
the boiling point of water|Water boils at 100 degrees Celsius.|水的沸点|水在100摄氏度沸腾。
the freezing point of water|Water freezes at 0 degrees Celsius.|水的冰点|水在0摄氏度结冰。
the largest planet|Jupiter is the largest planet in the solar system.|最大的行星|木星是太阳系里最大的行星。
the smallest planet|Mercury is the smallest planet in the solar system.|最小的行星|水星是太阳系里最小的行星。
the planet closest to the sun|Mercury is the planet closest to the sun.|离太阳最近的行星|水星离太阳最近。
the red planet|Mars is called the red planet.|红色的行星|火星被称为红色的行星。
the planet with rings|Saturn is famous for its rings.|有光环的行星|土星以光环闻名。
the largest ocean|The Pacific is the largest ocean.|最大的海洋|太平洋是最大的海洋。
the highest mountain|Mount Everest is the highest mountain.|最高的山|珠穆朗玛峰是最高的山。
the longest river|The Nile is often called the longest river.|最长的河|尼罗河常被称为最长的河。
the largest animal|The blue whale is the largest animal.|最大的动物|蓝鲸是最大的动物。
the fastest land animal|The cheetah is the fastest land animal.|陆地上跑得最快的动物|猎豹是陆地上跑得最快的动物。
the tallest animal|The giraffe is the tallest animal.|最高的动物|长颈鹿是最高的动物。
the chemical formula of water|The chemical formula of water is H2O.|水的化学式|水的化学式是H2O。
the chemical symbol of gold|The chemical symbol of gold is Au.|金的化学符号|金的化学符号是Au。
the chemical symbol of iron|The chemical symbol of iron is Fe.|铁的化学符号|铁的化学符号是Fe。
the gas we breathe|We breathe air and need its oxygen.|我们呼吸的气体|我们呼吸空气，需要其中的氧气。
the gas that plants need|Plants take in carbon dioxide.|植物需要的气体|植物吸收二氧化碳。
the center of the solar system|The sun is at the center of the solar system.|太阳系的中心|太阳在太阳系的中心。
the star closest to the Earth|The sun is the star closest to the Earth.|离地球最近的恒星|太阳是离地球最近的恒星。
the speed of light|Light travels about 300000 kilometers per second.|光的速度|光每秒大约走300000公里。
the largest desert|Antarctica is the largest desert; the Sahara is the largest hot one.|最大的沙漠|南极洲是最大的沙漠，撒哈拉是最大的热沙漠。
the number of planets|There are 8 planets in the solar system.|行星的数量|太阳系有8颗行星。
the number of continents|There are 7 continents.|大洲的数量|世界上有7个大洲。
the number of days in a week|A week has 7 days.|一周的天数|一周有7天。
the number of months in a year|A year has 12 months.|一年的月数|一年有12个月。
the number of days in a year|A year has 365 days, and a leap year has 366.|一年的天数|一年有365天，闰年有366天。
the number of hours in a day|A day has 24 hours.|一天的小时数|一天有24小时。
the number of minutes in an hour|An hour has 60 minutes.|一小时的分钟数|一小时有60分钟。
the number of seconds in a minute|A minute has 60 seconds.|一分钟的秒数|一分钟有60秒。
the number of letters in the English alphabet|The English alphabet has 26 letters.|英语字母的数量|英语有26个字母。
the number of sides of a triangle|A triangle has 3 sides.|三角形的边数|三角形有3条边。
the number of sides of a square|A square has 4 sides.|正方形的边数|正方形有4条边。
the number of legs of a spider|A spider has 8 legs.|蜘蛛的腿数|蜘蛛有8条腿。
the number of legs of an insect|An insect has 6 legs.|昆虫的腿数|昆虫有6条腿。
""")  # noqa: E501 (a row is a line)
