"""Greetings, thanks, goodbyes and moods: their phrasings and the one answer to each."""

from __future__ import annotations

from typing import Final

from cloud_worker.forge.curriculum.exercise import Language
from cloud_worker.forge.curriculum.phrasing import Form, form

EN, ZH = Language.ENGLISH, Language.CHINESE

# Tables: filled lines, not one phrasing a line.
# fmt: off
GREETINGS: Final[dict[Language, tuple[tuple[Form, str], ...]]] = {
    EN: (
        (
            form(
                "Hello", "Hi", "Hey", "Hello!", "Hi!", "Hi there", "Hello there!", "Hey there", "Hello, Edgewise!",
                "Hi Edgewise", "Hiya", "Hello hello", "Oh, hello!", "Hey!", "Greetings", "Howdy", "Hi, anyone there?",
                "Yo", "Hello again", "Well hello", "Hey, hello!",
            ),
            "Hello! How can I help you today?",
        ),
        (
            form(
                "Good morning", "Good morning!", "Morning!", "Good morning to you", "Hello, good morning",
                "Good morning, Edgewise", "Hi, good morning!", "A very good morning", "Morning", "Good morning there",
                "Good morning, friend", "Good morning everyone", "Ah, good morning", "Good morning and hello",
                "Good morning, my friend", "Oh, good morning!", "Hey, good morning", "Good morning, dear assistant",
            ),
            "Good morning! How can I help you today?",
        ),
        (
            form(
                "Good evening", "Good evening!", "Evening!", "Good evening to you", "Hello, good evening",
                "Good evening, Edgewise", "Hi, good evening!", "A very good evening", "Good evening there",
                "Good evening, friend", "Good evening everyone", "Ah, good evening", "Good evening and hello",
                "Evening", "Good evening, my friend", "Oh, good evening!", "Hey, good evening",
                "Good evening, dear assistant",
            ),
            "Good evening! How can I help you?",
        ),
        (
            form(
                "Good night", "Good night!", "Night night", "Good night, Edgewise", "I am going to bed", "Time for bed",
                "Have a good night", "I'm off to bed, good night", "Good night to you", "Sleep well", "Sweet dreams",
                "Good night, friend", "Time to sleep", "I will sleep now", "Nighty night", "Okay, good night",
                "Good night then", "I am going to sleep",
            ),
            "Good night! Sleep well.",
        ),
        (
            form(
                "How are you?", "How are you doing?", "How are you today?", "How is it going?", "How do you do?",
                "How's it going?", "Are you well?", "How do you feel?", "How are things?", "Hello, how are you?",
                "Hi, how are you?", "Hey, how are you doing?", "How have you been?", "How do you feel today?",
                "How's your day?", "How is your day going?", "Are you okay?", "What's up?", "How are you feeling?",
                "So, how are you?", "How goes it?", "Hello there, how are you today?",
            ),
            "I am doing well, thank you. How can I help you?",
        ),
        (
            form(
                "Thank you", "Thanks", "Thanks!", "Thank you!", "Thank you very much", "Thanks a lot", "Many thanks",
                "Thank you so much", "Thanks so much!", "Great, thanks", "OK, thank you", "That helps, thanks",
                "Cool, thanks!", "Thank you, Edgewise", "I thank you", "Thanks for your help",
                "Thank you for the answer", "Nice, thank you", "Thanks again", "Perfect, thanks!",
            ),
            "You are welcome!",
        ),
        (
            form(
                "Goodbye", "Bye", "Bye!", "Bye bye", "Goodbye!", "See you", "See you later", "See you soon!",
                "I have to go", "Talk to you later", "Farewell", "See you tomorrow", "I must go now", "Bye for now",
                "OK, bye", "So long", "That is all, bye", "Goodbye, Edgewise", "Good bye then", "I'm leaving, bye",
            ),
            "Goodbye! Have a nice day.",
        ),
        (
            form(
                "I am sad", "I'm sad", "I feel sad", "I am feeling down", "I feel bad today", "I am not happy",
                "I had a bad day", "My day was bad", "I am lonely", "I feel lonely", "I'm unhappy",
                "I feel very sad today", "I am so sad", "Today was awful", "I am a bit sad", "I feel terrible",
                "I'm feeling sad", "I feel so down today",
            ),
            "I am sorry to hear that. I hope your day gets better.",
        ),
        (
            form(
                "I am happy", "I'm happy", "I feel great", "I am so happy today", "I feel good", "Today is a great day",
                "I had a good day", "My day was great", "I'm feeling good", "I am very happy", "I feel wonderful",
                "Life is good", "I feel fantastic", "I am in a good mood", "I'm so glad", "I feel very happy",
                "I am glad today", "I'm feeling great today",
            ),
            "That is great to hear!",
        ),
    ),
    ZH: (
        (
            form(
                "你好", "你好！", "您好", "您好！", "嗨", "嗨！", "哈喽", "你好呀", "你好啊", "嘿", "你好，小助手",
                "你好，Edgewise", "喂，你好", "大家好", "嗨，你好", "哈喽！", "你好哦", "有人吗？", "你好吖",
                "你好你好", "您好呀",
            ),
            "你好！今天我能帮你做什么？",
        ),
        (
            form(
                "早上好", "早上好！", "早安", "早", "早上好呀", "你好，早上好", "大家早上好", "早啊", "早安！",
                "早上好，Edgewise", "您早", "嗨，早上好", "早上好，朋友", "早呀", "早上好啊", "您好，早上好", "早安呀",
                "朋友，早上好",
            ),
            "早上好！今天我能帮你做什么？",
        ),
        (
            form(
                "晚上好", "晚上好！", "晚上好呀", "你好，晚上好", "大家晚上好", "晚上好啊", "晚上好，Edgewise",
                "嗨，晚上好", "晚上好，朋友", "您好，晚上好", "晚上好哦", "嗨，晚上好呀", "晚上好，小助手",
                "各位晚上好", "您晚上好", "你晚上好", "晚上好晚上好", "朋友，晚上好",
            ),
            "晚上好！我能帮你做什么？",
        ),
        (
            form(
                "晚安", "晚安！", "我要睡觉了", "我去睡了", "睡觉了", "晚安，Edgewise", "该睡觉了", "我先睡了，晚安",
                "晚安啦", "晚安，朋友", "做个好梦", "好梦", "那晚安了", "我困了，晚安", "晚安哦", "我要去睡觉了",
                "好的，晚安", "我睡了，晚安",
            ),
            "晚安！祝你好梦。",
        ),
        (
            form(
                "你好吗？", "你还好吗？", "你今天好吗？", "最近怎么样？", "你怎么样？", "近来可好？", "你过得怎么样？",
                "今天过得好吗？", "你好吗", "你感觉怎么样？", "嗨，你好吗？", "你最近好吗？", "一切都好吗？",
                "你今天怎么样？", "你心情好吗？", "最近好吗？", "你今天过得怎么样？", "过得好吗？", "你最近怎么样？",
                "你现在好吗？", "今天怎么样？",
            ),
            "我很好，谢谢。我能帮你做什么？",
        ),
        (
            form(
                "谢谢", "谢谢！", "谢谢你", "多谢", "非常感谢", "谢谢你的帮助", "太谢谢了", "感谢", "感谢你",
                "好的，谢谢", "谢谢您", "谢了", "十分感谢", "多谢你", "谢谢你，Edgewise", "谢谢啦", "真的谢谢你",
                "很感谢", "谢谢你的回答", "那谢谢了", "太感谢了",
            ),
            "不客气！",
        ),
        (
            form(
                "再见", "再见！", "拜拜", "拜拜！", "回头见", "明天见", "我走了", "下次见", "我要走了", "先这样，再见",
                "好的，再见", "再见，Edgewise", "下次再聊", "回见", "我先走了", "那再见了", "待会儿见", "再见啦",
                "以后再聊", "我得走了，再见", "拜拜啦",
            ),
            "再见！祝你今天愉快。",
        ),
        (
            form(
                "我很难过", "我难过", "我不开心", "我今天不高兴", "我心情不好", "我感到难过", "今天很糟糕", "我很孤单",
                "我好伤心", "我有点难过", "我很伤心", "我今天心情很差", "我今天很难过", "我不高兴", "我觉得很难过",
                "我心情很差", "我好难过", "今天我不开心",
            ),
            "听到这个我很难过，希望你的一天会好起来。",
        ),
        (
            form(
                "我很开心", "我很高兴", "我今天很开心", "我心情很好", "今天真好", "我感觉很好", "我好开心",
                "今天过得很好", "我太高兴了", "我真高兴", "生活真美好", "我今天心情不错", "我特别开心", "我感到高兴",
                "我开心", "我今天真高兴", "我非常开心", "今天我很高兴",
            ),
            "真为你高兴！",
        ),
    ),
}
# fmt: on
