"""The wire protocols, one file per vendor."""

from workers.simulator.dialects.anthropic import AnthropicDialect
from workers.simulator.dialects.dialect import Dialect
from workers.simulator.dialects.gemini import GeminiDialect
from workers.simulator.dialects.openai import OpenAIDialect
from workers.simulator.dialects.openai_chat import OpenAIChatDialect

ANTHROPIC: Dialect = AnthropicDialect()
OPENAI: Dialect = OpenAIDialect()
OPENAI_CHAT: Dialect = OpenAIChatDialect()
GEMINI: Dialect = GeminiDialect()
