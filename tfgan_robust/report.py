"""STUB."""


def write_report(folder):
    return []
