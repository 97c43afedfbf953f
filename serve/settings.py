"""All that can be set, from flags or environment variables."""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ENVIRONMENT_PREFIX = "KERASBNN_SERVE_"
MEBIBYTE = 2**20

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


class Settings(BaseSettings):
    """Settings of the service.

    A value comes from an argument, else from the environment variable
    `KERASBNN_SERVE_<NAME>`, else it is the default.

    Raises:
        pydantic.ValidationError: A value is not usable.

    Example:
        >>> from kerasbnn.serve import Settings
        >>> Settings(port=9000, max_body="1M").max_body
        1048576
    """

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        env_ignore_empty=True,
    )

    # -- what is served, and where
    model_dir: Path | None = Field(
        None,
        description="Folder of models, NAME/VERSION/model.tflite, or a .tflite file; "
        "without it a small network that reads handwritten digits",
    )
    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="Port; 0 takes a free one")
    num_threads: int = Field(
        1, ge=1, le=256, description="Threads that compute one batch of a model"
    )
    shutdown_timeout: float = Field(
        10, gt=0, le=3600, description="Seconds that running requests have at the end"
    )

    # -- batching
    batching: Literal["auto", "off"] | Annotated[int, Field(ge=1, le=4096)] = Field(
        "auto",
        description="Most rows that are computed at once: 'auto' measures at the start "
        "what is fastest, 'off' computes each request by itself",
    )
    max_queue: int = Field(
        1024, ge=1, description="Rows of a model that may wait; more are refused (503)"
    )
    max_connections: int = Field(
        1024, ge=1, description="Connections that are answered; later ones get a 503"
    )
    inference_timeout: float = Field(
        10, gt=0, le=3600, description="Seconds until a request that waits gets a 504"
    )

    # -- limits of a request
    max_body: int = Field(
        64 * MEBIBYTE, ge=1024, description="Bytes of a body, such as 64M"
    )
    max_decompressed_body: int = Field(
        64 * MEBIBYTE, ge=1024, description="Bytes of a body once decompressed"
    )
    max_rows: int = Field(1024, ge=1, description="Rows of one request")
    max_nesting: int = Field(
        32, ge=8, le=512, description="How deep the JSON of a request may be nested"
    )
    max_pixels: int = Field(
        16_000_000, ge=1, description="Pixels of an image that is sent to be predicted"
    )
    body_timeout: float = Field(
        10, gt=0, le=3600, description="Seconds that the body of a request may take"
    )
    allow_non_finite: bool = Field(
        False, description="Take NaN and infinity as inputs, instead of refusing them"
    )

    # -- who may ask
    api_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        repr=False,
        description="Keys that open the service, separated by commas: as they are, or "
        "as sha256:HEX",
    )
    api_keys_file: Path | None = Field(
        None, description="File with one such key on each line"
    )
    allow_unauthenticated: bool = Field(
        False, description="Listen on an address that others reach without any key"
    )

    # -- the geometry of live requests
    geometry_budget: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Share of one processor that may measure the geometry of live "
        "requests; 0 measures nothing",
    )
    geometry_queue: int = Field(
        64, ge=1, description="Rows that may wait to be measured; more are dropped"
    )
    geometry_window: int = Field(
        1024, ge=64, description="Latest rows that the live geometry is made of"
    )

    # -- logs
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="Form of the logs: 'auto' is text in a terminal, else JSON"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe messages that are logged"
    )
    log_requests: Literal["all", "errors", "none"] = Field(
        "errors",
        description="Requests that get a line: all, those with a status from 400 on, "
        "or none",
    )

    @field_validator("max_body", "max_decompressed_body", mode="before")
    @classmethod
    def _bytes(cls, value):
        found = isinstance(value, str) and re.fullmatch(
            r"(\d+)\s*([kmg]?)(?:i?b)?", value.strip().lower()
        )
        return int(found[1]) * _UNITS[found[2]] if found else value

    @field_validator("batching", mode="before")
    @classmethod
    def _number(cls, value):
        is_number = isinstance(value, str) and value.strip().isdigit()
        return int(value) if is_number else value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _separated(cls, value):
        if not isinstance(value, str):
            return value
        keys = tuple(key.strip() for key in value.split(",") if key.strip())
        if value and not keys:
            raise ValueError(
                "It holds no key. Give keys separated by commas, or leave it out"
            )
        return keys

    @property
    def is_protected(self) -> bool:
        """Whether a key is needed."""
        return bool(self.api_keys) or self.api_keys_file is not None
