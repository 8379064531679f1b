"""What a worker reads from its environment, once, at its start."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

FURTHER = "__"
"""Between the name of a key's variable and the account it is for."""


def _further_keys() -> tuple[tuple[str, SecretStr], ...]:
    names = (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_ADMIN_KEY",
        "OPENAI_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
    )
    return tuple(
        (name, SecretStr(value))
        for name, value in sorted(os.environ.items())
        if name.partition(FURTHER)[0] in names and name not in names
    )


class WorkerSettings(BaseSettings):
    """Paths of the worlds that effect lanes write to, and access to the vendors by their SDKs' own names."""

    model_config = SettingsConfigDict(env_prefix="", extra="ignore", frozen=True)

    state_dir: Path = Field(default=Path(".state"), validation_alias="FLEET_STATE_DIR")
    simulator_url: str | None = Field(default=None, validation_alias="FLEET_SIMULATOR_URL")
    """Where the vendor simulator listens; used for vendors without a real access only."""
    simulate: Annotated[tuple[str, ...], NoDecode] = Field(default=(), validation_alias="FLEET_SIMULATE")

    anthropic_api_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_API_KEY")
    anthropic_admin_key: SecretStr | None = Field(default=None, validation_alias="ANTHROPIC_ADMIN_KEY")
    """Reads the account's limits, and asks no model."""
    anthropic_base_url: str | None = Field(default=None, validation_alias="ANTHROPIC_BASE_URL")
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    gemini_api_key: SecretStr | None = Field(default=None, validation_alias="GEMINI_API_KEY")
    google_api_key: SecretStr | None = Field(default=None, validation_alias="GOOGLE_API_KEY")
    google_base_url: str | None = Field(default=None, validation_alias="GOOGLE_GEMINI_BASE_URL")
    further_keys: tuple[tuple[str, SecretStr], ...] = Field(
        default_factory=_further_keys, validation_alias="*_KEY__*"
    )
    """By the names of their variables, such as ``OPENAI_API_KEY__SECOND``: the keys of further accounts."""

    @field_validator("simulate", mode="before")
    @classmethod
    def _split(cls, names: object) -> object:
        if isinstance(names, str):
            return tuple(name.strip() for name in names.split(",") if name.strip())
        return names

    @property
    def sites_dir(self) -> Path:
        return self.state_dir / "sites"

    @property
    def scratch_dir(self) -> Path:
        return self.state_dir / "scratch"
