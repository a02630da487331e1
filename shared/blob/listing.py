"""Listings of many blobs, in half a second of CPU instead of eight.

Of every blob that it lists the SDK makes some twenty objects: 37,000 blobs cost it 8 s (azure-storage-blob
12.31.1, measured). Its listing of names leaves the reply as the XML that it is; asked for metadata too, that
reply holds all that is wanted here. While one page is taken apart, the next one is on its way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from azure.core.pipeline.policies import ContentDecodePolicy
from azure.storage.blob import ContainerClient

_PER_PAGE = 5_000  # the most that one listing request returns


@dataclass(frozen=True)
class Entry:
    """A blob as a listing shows it; ``tier`` is its access tier, where the account has tiers."""

    name: str
    size: int
    etag: str
    metadata: Mapping[str, str]
    tier: str | None


def listed(container: ContainerClient, prefix: str) -> Iterator[Entry]:
    """The blobs whose name begins with ``prefix``, sorted by name, as the service lists them.

    Raises:
        azure.core.exceptions.AzureError: they could not be listed.
    """
    replies: list[Any] = []
    names = container.list_blob_names(
        name_starts_with=prefix,
        results_per_page=_PER_PAGE,
        include=["metadata"],
        raw_response_hook=lambda reply: replies.__setitem__(slice(None), [reply]),
    ).by_page()

    def fetch() -> Element | None:
        if next(names, None) is None:
            return None
        page: Element = replies[0].context[ContentDecodePolicy.CONTEXT_NAME]
        return page

    with ThreadPoolExecutor(1, thread_name_prefix="listing") as pool:
        coming = pool.submit(fetch)
        while (page := coming.result()) is not None:
            coming = pool.submit(fetch)
            yield from map(_entry, page.iterfind("Blobs/Blob"))


def _entry(blob: Element) -> Entry:
    name, about, metadata = blob.find("Name"), blob.find("Properties"), blob.find("Metadata")
    if name is None or about is None:
        raise ValueError("a listing names a blob without its name or properties")
    text = name.text or ""
    return Entry(
        name=unquote(text) if name.get("Encoded") == "true" else text,
        size=int(about.findtext("Content-Length") or 0),
        etag='"' + (about.findtext("Etag") or "").strip('"') + '"',  # listings leave the quotes out
        metadata={one.tag: one.text or "" for one in metadata} if metadata is not None else {},
        tier=about.findtext("AccessTier"),
    )
