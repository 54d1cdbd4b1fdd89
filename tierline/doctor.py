"""`tierline doctor`: check this machine and a deployment, name the first thing that is wrong and its cure."""

import asyncio
import json
from argparse import Namespace
from dataclasses import asdict

from tierline.checks import Finding, examine_deployment, examine_machine
from tierline.errors import FAILED
from tierline.lifetime import run_until_stopped

_PAUSE_SECONDS = 1.0


def main(args: Namespace) -> int:
    """Run the command."""
    findings = run_until_stopped(_until_well(args))
    wrong = next((finding for finding in findings if not finding.ok), None)
    if args.json:
        print(
            json.dumps(
                {
                    "ok": wrong is None,
                    "first_wrong": None if wrong is None else asdict(wrong),
                    "checks": [asdict(finding) for finding in findings],
                }
            )
        )
    elif wrong is None:
        print("\nAll is well.")
    else:
        print(f"\nFirst thing to mend: {wrong.check}: {wrong.found}\nCure: {wrong.cure}")
    return 0 if wrong is None else FAILED


async def _until_well(args: Namespace) -> list[Finding]:
    """Examine the deployment again and again as long as the user wants to wait; say what was found last."""
    loop = asyncio.get_running_loop()
    until = loop.time() + (args.wait or 0.0)
    machine = await examine_machine()
    while True:
        findings = machine + await examine_deployment(args.broker, args.site)
        if all(finding.ok for finding in findings) or loop.time() >= until:
            break
        await asyncio.sleep(_PAUSE_SECONDS)
    if not args.json:
        for finding in findings:
            print(f"{_word(finding):<5}  {finding.check:<13} {finding.found}")
    return findings


def _word(finding: Finding) -> str:
    if not finding.ok:
        return "WRONG"
    return "note" if finding.note else "ok"
