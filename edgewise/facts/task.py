"""What kind of answer is asked for, by words and marks of two languages side by side."""

from __future__ import annotations

import re
from typing import Final

from edgewise.facts.words import Words

#: The whole message is a greeting, a thank-you or a farewell, perhaps with a name and marks around it.
_GREETING: Final = re.compile(
    r"\W*(?:(?:hi|hello|hey|hiya|good (?:morning|afternoon|evening|night)|thanks|thank you|bye|goodbye|see you"
    r"|how are you(?: today| doing)?|what'?s up|nice to meet you|there|everyone|again|so much|very much)\b\W*){1,4}"
    r"|\W*(?:(?:你好|您好|嗨|哈喽|早上好|下午好|晚上好|早安|晚安|早|谢谢你?|多谢|再见|拜拜|在吗|你好吗|最近怎么样|很高兴认识你"
    r"|大家|啊|呀|吗)\W*){1,4}"
)
_LONGEST_GREETING: Final = 60

_CODE_MARK: Final = re.compile(
    r"```"
    r"|^[ \t]{0,40}(?:def \w+\(|class \w+ ?[:({]|import \w+$|from [\w.]+ import|#include|(?:const|let|var) \w+ ?=)"
    r"|\bselect [^\n]{1,80}? from\b|\bfunction \w*\("
    r"|[;{}]\s*$|=>|::|\w\(\)|</\w|traceback \(most|\bc\+\+",
    re.MULTILINE,
)
_CODE: Final = Words(
    english=r"(?<!zip )(?<!area )(?<!qr )(?<!dress )code|function|program|script|regex|sql|python|javascript"
    r"|typescript|java|rust|golang|html|css|bash"
    r"|compile[rd]?|debug|bugs?|stack ?trace|exception|refactor|unit tests?|api endpoint|algorithm",
    chinese=r"代码|函数|编程|程序|脚本|正则|报错|调试|编译|算法|接口|重构|单元测试|写一个类",
)
_CREATIVE: Final = Words(
    english=r"(?:write|compose|create|make up|draft) (?:me )?(?:a|an|some|another|the)? ?(?:\w+ ){0,3}?(?:poem|story"
    r"|song|lyrics|haiku|novel|essay|joke|slogan|tagline|speech|letter|dialogue|blog post|limerick|tale)"
    r"|tell me a (?:\w+ )?(?:story|joke)|brainstorm|imagine|role-?play|in the style of",
    chinese=r"写(?:一|首|篇|个|段|封|点|几)[^。？！\n]{0,12}?(?:诗|故事|小说|歌词|作文|散文|文案|演讲稿|信|笑话"
    r"|标语|童话|情书|剧本)"
    r"|讲(?:个|一个)[^。？！\n]{0,6}?(?:故事|笑话)|编(?:个|一个)|创作|想象|角色扮演|续写|头脑风暴",
)
_TOOL: Final = Words(
    english=r"(?:set|create|add|schedule|cancel) (?:a|an|the|my) (?:\w+ )?(?:reminder|alarm|timer|meeting|event)"
    r"|remind me|turn (?:on|off)|book (?:a|me)|order (?:a|me|some)|send (?:a|an|the) (?:message|e-?mail|text)"
    r"|play (?:some|the|a) |search the web|look up|open the",
    chinese=r"提醒我|设(?:个|一个|置)?(?:闹钟|提醒|定时)|打开|关闭|关掉|订(?:一|个|张|机票|酒店|餐)|预订"
    r"|发(?:一|个|条)?(?:短信|邮件|消息)|打电话|播放|导航到|搜索一下|帮我查",
)
_FACTUAL: Final = Words(
    english=r"what(?:'s| is| are| was| were| does)|who(?:'s| is| was| wrote| invented)?|when (?:is|was|did|does)"
    r"|where(?:'s| is| was)?|why (?:is|are|do|does|did)|which|how (?:many|much|old|far|long|tall|big)|capital of"
    r"|define|meaning of|does|is it true|calculate|translate",
    chinese=r"什么是|是什么|谁|哪(?:个|里|年|些|位|国|一)|多少|几(?:个|年|岁|点|月)|何时|为什么"
    r"|多(?:高|大|远|长|久)|首都"
    r"|定义|意思"
    r"|是不是|怎么样|等于|翻译|加上|减去|乘以",
)
_SUM: Final = re.compile(r"(?<!\d)\d{1,12}\s?[-+*/×÷]\s?\d{1,12}(?![-\d])")


def task_of(text: str, *, tools: bool) -> str:
    """ "greeting", "factual", "creative", "code", "tool" or "other", for the last user message in lower case.

    tools: the request brought tools along, which makes an order to act likely.
    """
    if len(text) <= _LONGEST_GREETING and _GREETING.fullmatch(text):
        return "greeting"
    if _CODE_MARK.search(text) or _CODE.found(text):
        return "code"
    if _CREATIVE.found(text):
        return "creative"
    if _TOOL.found(text):
        return "tool"
    if _FACTUAL.found(text) or _SUM.search(text):
        return "factual"
    return "tool" if tools else "other"
