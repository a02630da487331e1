"""Manifests, recovery points, runs, claims, locks: what is known, kept in Blob Storage."""

from shared.catalogue.catalogue import Catalogue

__all__ = ["Catalogue"]
