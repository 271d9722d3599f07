"""Whether an answer needs information newer than any model: news, prices, weather, results."""

from __future__ import annotations

from typing import Final

from edgewise.facts.words import Words

#: Alone enough: these change by the hour or the day.
_ALWAYS: Final = Words(
    english=r"weather|forecast"
    r"|(?:latest|breaking|today'?s|recent) (?:news|headlines|updates?|versions?|results?|scores?)"
    r"|stock price|share price|exchange rate|traffic (?:on|in|near)|what time is it|election results?|who won",
    chinese=r"天气|新闻|头条|股价|股市|汇率|金价|油价|房价|比分|赛果|路况|几点了|热搜"
    r"|最新(?:消息|进展|版本|情况|数据)",
)
_NOW: Final = Words(
    english=r"today|tonight|right now|currently|current|latest|at the moment|this (?:week|month|year)|yesterday"
    r"|tomorrow"
    r"|as of|up[- ]to[- ]date|recent(?:ly)?|20(?:2[4-9]|[3-9]\d)",
    chinese=r"今天|今晚|今日|现在|目前|当前|最新|最近|本周|这周|本月|今年|昨天|明天|截至|刚刚|近期"
    r"|20(?:2[4-9]|[3-9]\d)年",
)
_CHANGING: Final = Words(
    english=r"prices?|cost|score|president|prime minister|ceo|champion|population|schedule|open(?:ing hours)?"
    r"|release[ds]?"
    r"|version|events?|happen(?:ed|ing)?|news|match|game|flight|trains?|bitcoin|market|rank(?:ed|ing)?|law"
    r"|available",
    chinese=r"价格|多少钱|总统|总理|首相|主席|冠军|人口|时间表|营业|发布|版本|发生|比赛|航班|火车|比特币"
    r"|市场|排名|政策|法规|上映|票房",
)


def needs_fresh(text: str) -> bool:
    """True when the lower-case text asks for something that changes, and for its present state."""
    return _ALWAYS.found(text) or (_NOW.found(text) and _CHANGING.found(text))
