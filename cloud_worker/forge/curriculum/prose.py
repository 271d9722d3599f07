"""The texts behind the long answers: almanac sentences, story parts and the grammar of the poems."""

from __future__ import annotations

from typing import Final

from cloud_worker.forge.curriculum.exercise import Language

EN, ZH = Language.ENGLISH, Language.CHINESE

ALMANAC: Final[dict[Language, tuple[tuple[str, str], ...]]] = {
    EN: (
        (
            "the months",
            (
                "January is cold and starts the year. February is short and quiet. March brings the first wind of "
                "spring. April brings soft rain. May is full of flowers. June has the longest days. July is hot and "
                "bright. August is a time for holidays. September brings school and apples. October paints the leaves "
                "red. November is grey and wet. December ends the year with lights and snow."
            ),
        ),
        (
            "the days of the week",
            (
                "Monday starts the week with new work. Tuesday is a busy day. Wednesday stands in the middle. Thursday "
                "is almost the end. Friday makes people smile. Saturday is for play and friends. Sunday is for rest."
            ),
        ),
        (
            "the four seasons",
            (
                "Spring wakes the flowers and the birds. Summer is warm, and the days are long. Autumn colors the "
                "leaves and brings the harvest. Winter is cold, and snow covers the fields."
            ),
        ),
        (
            "the planets",
            (
                "Mercury is small and close to the sun. Venus is hot and bright. Earth is our home. Mars is red and "
                "dusty. Jupiter is the largest planet. Saturn wears wide rings. Uranus lies on its side. Neptune is "
                "far, blue and cold."
            ),
        ),
        (
            "the letters of the alphabet",
            (
                "A is for apple. B is for bird. C is for cat. D is for dog. E is for egg. F is for fish. G is for "
                "grass. H is for house. I is for ice. J is for juice. K is for king. L is for lion. M is for moon. N "
                "is for night. O is for orange. P is for pen. Q is for queen. R is for rain. S is for sun. T is for "
                "tree. U is for umbrella. V is for violin. W is for water. X is for box. Y is for yellow. Z is for "
                "zebra."
            ),
        ),
    ),
    ZH: (
        (
            "十二个月",
            (
                "一月寒冷，是一年的开始。二月很短，也很安静。三月吹来第一阵春风。四月下着细雨。五月开满鲜花。"
                "六月白天最长。七月又热又亮。八月是放假的时候。九月开学，苹果熟了。十月树叶变红。十一月天色灰暗，"
                "雨水很多。十二月有灯光和雪，一年结束。"
            ),
        ),
        (
            "一周的七天",
            (
                "星期一开始新的工作。星期二很忙。星期三在一周的中间。星期四快到周末了。星期五让人微笑。"
                "星期六和朋友一起玩。星期日好好休息。"
            ),
        ),
        ("四季", "春天唤醒花和鸟。夏天温暖，白天很长。秋天染红树叶，带来收获。冬天寒冷，雪盖住田野。"),
        (
            "八大行星",
            (
                "水星很小，离太阳最近。金星又热又亮。地球是我们的家。火星又红又多尘。木星是最大的行星。"
                "土星戴着宽宽的光环。天王星躺着转。海王星又远又蓝又冷。"
            ),
        ),
        (
            "十二生肖",
            (
                "老鼠聪明，排在第一。牛很勤劳。老虎很勇敢。兔子很温和。龙能飞上天空。蛇很安静。马跑得很快。羊很善良。"
                "猴子爱玩。鸡早上叫人起床。狗很忠诚。猪很快乐，排在最后。"
            ),
        ),
    ),
}

STORY_PARTS: Final[dict[Language, tuple[str, ...]]] = {
    EN: (
        (
            "Once there was a {adj} {a} named {n}. {n} lived in {place} and loved {food}. One morning {n} heard a "
            "small cry. A {friend} had lost its way in the {weather}. {n} was afraid, but went out to help. Together "
            "they walked past the {sight} and over the hill. At last they saw a light. The {friend} was home! It gave "
            "{n} a big piece of {food}. From that day {n} and the {friend} were best friends."
        ),
        (
            "Long ago, in {place}, a {adj} {a} named {n} had a dream. {n} wanted to see the {sight}. So {n} took some "
            "{food} and left home. On the way came the {weather}, and {n} had to stop. A {friend} opened its door and "
            "said: come in. They ate the {food} and told stories all night. In the morning they found the {sight} "
            "together. It was even more beautiful than the dream."
        ),
        (
            "{n} was a {adj} {a} who lived in {place}. Every day {n} looked for {food}. One day all the {food} was "
            "gone. {n} asked the {friend}, and the {friend} did not know. {n} looked behind the {sight}. There sat a "
            "tiny mouse, hungry from the {weather}. {n} was not angry. You can share with us, said {n}. So the three "
            "of them ate together, and nobody was hungry again."
        ),
    ),
    ZH: (
        (
            "从前有一只{adj}的{a}，名叫{n}。{n}住在{place}，最爱吃{food}。一天早上，{n}听见小小的哭声。"
            "原来是一只{friend}在{weather}里迷了路。{n}有点害怕，但还是出门去帮忙。他们一起走过{sight}，翻过小山。"
            "最后，他们看见了灯光。{friend}到家了！它送给{n}一大块{food}。从那天起，{n}和{friend}成了最好的朋友。"
        ),
        (
            "很久以前，在{place}，有一只{adj}的{a}，名叫{n}。{n}有一个梦想，想去看{sight}。于是{n}带上{food}离开了家。"
            "路上遇到{weather}，{n}只好停下来。一只{friend}打开门说：请进。他们吃着{food}，讲了一夜的故事。第二天早上，"
            "他们一起找到了{sight}，它比梦里还要美。"
        ),
        (
            "{n}是一只{adj}的{a}，住在{place}。{n}每天都去找{food}。有一天，{food}全都不见了。{n}去问{friend}，"
            "{friend}也不知道。{n}走到{sight}后面，看见一只小老鼠，它在{weather}里饿坏了。{n}没有生气，说："
            "和我们一起吃吧。于是他们三个一起吃，再也没有谁挨饿。"
        ),
    ),
}


def _cast(text: str) -> tuple[dict[str, str], ...]:
    keys = ("a", "adj", "place", "food", "friend", "weather", "sight")
    return tuple(dict(zip(keys, line.split("|"), strict=True)) for line in text.strip().splitlines())


STORY_WORDS: Final = {
    EN: _cast(
        (
            "\n"
            "dog|brave|a small village|bread|rabbit|rain|old bridge\n"
            "cat|curious|a quiet house|fish|bird|snow|high tower\n"
            "rabbit|shy|a green field|carrots|squirrel|fog|big stone\n"
            "bear|strong|a deep forest|honey|fox|storm|waterfall\n"
            "fox|clever|a red hill|grapes|hedgehog|wind|silver lake\n"
            "bird|happy|a tall tree|seeds|frog|rain|garden wall\n"
            "lion|proud|a warm land|melon|zebra|heat|river bank\n"
            "panda|gentle|a bamboo grove|bamboo|monkey|mist|golden temple\n"
            "horse|fast|a wide plain|apples|sheep|thunder|wooden gate\n"
            "monkey|funny|a green jungle|bananas|parrot|rain|hidden cave\n"
            "penguin|calm|an icy coast|fish|seal|snow|blue iceberg\n"
            "owl|wise|an old barn|berries|bat|night|church clock\n"
        ),
    ),
    ZH: _cast(
        (
            "\n"
            "小狗|勇敢|小村庄|面包|兔子|大雨|老桥\n"
            "小猫|好奇|安静的房子|鱼|小鸟|大雪|高塔\n"
            "兔子|害羞|绿色的草地|胡萝卜|松鼠|大雾|大石头\n"
            "小熊|强壮|深深的森林|蜂蜜|狐狸|暴风雨|瀑布\n"
            "狐狸|聪明|红色的山坡|葡萄|刺猬|大风|银色的湖\n"
            "小鸟|快乐|高高的树上|种子|青蛙|大雨|花园的墙\n"
            "狮子|骄傲|温暖的地方|西瓜|斑马|炎热|河岸\n"
            "熊猫|温柔|竹林|竹子|猴子|薄雾|金色的庙\n"
            "小马|飞快|宽广的平原|苹果|小羊|雷雨|木门\n"
            "猴子|有趣|绿色的丛林|香蕉|鹦鹉|大雨|山洞\n"
            "企鹅|安静|冰冷的海边|小鱼|海豹|大雪|蓝色的冰山\n"
            "猫头鹰|聪慧|旧谷仓|浆果|蝙蝠|黑夜|钟楼\n"
        ),
    ),
}

# topic: adjective, companion, verb phrase, place
POEM_WORDS: Final[dict[Language, dict[str, tuple[str, str, str, str]]]] = {
    EN: {
        "the sea": ("blue", "waves", "sing to the shore", "sand"),
        "the moon": ("silver", "stars", "watch the sleeping town", "sky"),
        "autumn": ("golden", "leaves", "dance in the wind", "road"),
        "spring": ("green", "flowers", "open to the sun", "garden"),
        "winter": ("white", "snow", "falls without a sound", "roof"),
        "summer": ("bright", "birds", "call across the field", "meadow"),
        "the rain": ("soft", "drops", "knock upon the glass", "window"),
        "the night": ("dark", "lamps", "burn along the street", "city"),
        "home": ("warm", "voices", "laugh around the fire", "door"),
        "friendship": ("kind", "hands", "hold on through the storm", "path"),
        "the mountain": ("high", "clouds", "rest upon the stone", "peak"),
        "the river": ("clear", "fish", "follow where it goes", "valley"),
    },
    ZH: {
        "大海": ("蓝", "波浪", "对着岸边歌唱", "沙滩"),
        "月亮": ("银", "星星", "望着熟睡的小城", "天空"),
        "秋天": ("金", "树叶", "在风里跳舞", "小路"),
        "春天": ("绿", "花朵", "向着太阳开放", "花园"),
        "冬天": ("白", "雪花", "静静地落下", "屋顶"),
        "夏天": ("亮", "小鸟", "在田野上呼唤", "草地"),
        "雨": ("细", "雨点", "轻轻敲着玻璃", "窗前"),
        "夜晚": ("黑", "灯火", "沿着街道点亮", "城市"),
        "家": ("暖", "笑声", "围着火炉响起", "门前"),
        "友谊": ("真", "双手", "在风雨中相握", "路上"),
        "山": ("高", "白云", "靠在石头上休息", "山顶"),
        "河": ("清", "小鱼", "跟着流水远去", "山谷"),
    },
}

_POEMS: Final = {
    EN: (
        "Oh {t}, so {adj} and near,\n"
        "I feel your quiet beauty here.\n"
        "Above the {place} the {friend} {verb},\n"
        "as soft as any gentle word."
    ),
    ZH: "啊，{t}，你{adj}得动人，\n我听见你安静的声音。\n{place}有{friend}{verb}，\n像一句温柔的话语。",
}


def poem(topic: str, language: Language) -> str:
    """Four lines about a topic of POEM_WORDS."""
    adjective, companion, verb, place = POEM_WORDS[language][topic]
    return _POEMS[language].format(t=topic, adj=adjective, friend=companion, verb=verb, place=place)
