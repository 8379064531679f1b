"""Vendor adapters: each speaks one vendor's protocol by its SDK, and none of them knows another."""
