"""Tests of command_api/operations/image_forms."""
