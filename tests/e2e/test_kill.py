"""Kill -9 of anything at any moment: see kill_storm.py. LEAT_LONG=1 is the long form, 200 kills."""
import os
import subprocess
import sys

from conftest import needs


def test_kills_at_random_moments():
    needs("leatd", "leat-cardd", "leat", "digits")
    kills = "200" if os.environ.get("LEAT_LONG") else "20"
    storm = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kill_storm.py")
    done = subprocess.run([sys.executable, storm, "--kills", kills], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=3600, check=False)
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-20000:]
    assert "kill.invariant_violations\t0" in done.stdout
