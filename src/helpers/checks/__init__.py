"""Each chapter's checks, a function an exercise: it runs your code against real peers and answers in words.

from helpers.checks import chapter_05 as checks
"""
