"""The fixtures, the time limit and the logs of the end-to-end tests, for tests that attack."""
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_spec = spec_from_file_location("e2e_conftest", Path(__file__).parents[1] / "e2e" / "conftest.py")
_e2e = module_from_spec(_spec)
_spec.loader.exec_module(_e2e)
globals().update({name: value for name, value in vars(_e2e).items() if not name.startswith("_")})
