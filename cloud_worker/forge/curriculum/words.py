"""Bilingual words for records, rooms, sentences and lists, in rows (English, Chinese). Nothing here asks."""

from __future__ import annotations

import random
from typing import Final

from cloud_worker.forge.curriculum.exercise import Language
from cloud_worker.forge.curriculum.lexicon import NAMES_CHINESE, NAMES_ENGLISH

Pairs = tuple[tuple[str, str], ...]


def _pairs(text: str) -> Pairs:
    rows = (item.strip().split("=") for item in text.split(","))
    return tuple((left, right) for left, right in rows)


CITIES: Final = _pairs(
    "Paris=巴黎, Tokyo=东京, London=伦敦, Beijing=北京, Rome=罗马, Berlin=柏林, Madrid=马德里, Cairo=开罗, "
    "Seoul=首尔, Dublin=都柏林"
)
JOBS: Final = _pairs(
    "doctor=医生, teacher=老师, driver=司机, cook=厨师, nurse=护士, farmer=农民, painter=画家, singer=歌手, "
    "writer=作家, pilot=飞行员"
)
PETS: Final = _pairs("dog=狗, cat=猫, bird=鸟, fish=鱼, horse=马, rabbit=兔子, monkey=猴子, mouse=老鼠")
COLOURS: Final = _pairs("red=红色, blue=蓝色, green=绿色, yellow=黄色, white=白色, black=黑色, purple=紫色, grey=灰色")
FRUITS: Final = _pairs("apple=苹果, banana=香蕉, grape=葡萄, melon=西瓜, peach=桃子, pear=梨, lemon=柠檬, orange=橙子")
ANIMALS: Final = _pairs("tiger=老虎, lion=狮子, rabbit=兔子, monkey=猴子, panda=熊猫, horse=马, dog=狗, cat=猫")
#: Things that lie about, and where.
THINGS: Final = _pairs(
    "apple=苹果, banana=香蕉, grape=葡萄, melon=西瓜, book=书本, pen=钢笔, pencil=铅笔, phone=电话, bread=面包, "
    "milk=牛奶, lamp=台灯, ball=皮球, ring=戒指, map=地图, cup=杯子, hat=帽子, shoe=鞋子, key=钥匙, coin=硬币, "
    "clock=钟表, knife=小刀, spoon=勺子, plate=盘子, rope=绳子, stone=石头, flower=鲜花, letter=信封, paper=白纸, "
    "bottle=瓶子, umbrella=雨伞, watch=手表, coat=外套, radio=音响, mirror=镜子, brush=刷子, doll=玩偶, candle=蜡烛, "
    "basket=篮子, drum=小鼓, flag=旗子"
)
PLACES: Final = _pairs(
    "kitchen=厨房, bedroom=卧室, garden=花园, office=办公室, school=学校, car=汽车, garage=车库, drawer=抽屉, "
    "box=箱子, hall=走廊, tower=塔楼, barn=谷仓"
)


def column(pairs: Pairs, language: Language) -> tuple[str, ...]:
    """The words of one language."""
    return tuple(pair[0 if language is Language.ENGLISH else 1] for pair in pairs)


def names(rng: random.Random, language: Language, count: int) -> list[str]:
    """Names that differ in their first token: a Chinese character is a token, so no two share their first."""
    if language is Language.ENGLISH:
        return rng.sample(NAMES_ENGLISH, count)
    first: dict[str, str] = {}
    for name in rng.sample(NAMES_CHINESE, len(NAMES_CHINESE)):
        first.setdefault(name[0], name)
    return list(first.values())[:count]
