"""Serves open-managed-agents with an empty database of its own: oma.py PORT DATABASE TOKENS."""

import asyncio
import os
import sys

PORT, DATABASE = int(sys.argv[1]), sys.argv[2]
os.environ["DATABASE_URL"] = f"sqlite+aiosqlite:///{DATABASE}"
os.environ["OMA_API_KEYS"] = sys.argv[3]

import uvicorn  # noqa: E402  The variables above are read on import.
from app.db.engine import get_engine  # noqa: E402
from app.db.models import Base  # noqa: E402
from app.factory import create_app  # noqa: E402


async def tables():
    async with get_engine().begin() as connection:
        await connection.run_sync(Base.metadata.create_all)


asyncio.run(tables())
uvicorn.run(create_app(), host="127.0.0.1", port=PORT, log_level="warning")
