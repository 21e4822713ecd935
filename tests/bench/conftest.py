"""The load generator, built once for all tests; without Go they are left out."""

import pytest

from bench.errors import MissingTool
from bench.generator import Generator, build


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        try:
            program = build()
        except MissingTool as error:
            pytest.skip(str(error))
    return Generator(program)
