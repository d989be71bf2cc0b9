"""`replay-python`: 20 packages with two consecutive releases each, whose changes are typed in replays.

Pure Python, permissively licensed, pinned by version and SHA-256. None is a training package of
`python-small` (five are held out there). In order of how much there is to type, the packages fall to
the halves by turns: settings are tuned on `tune` and reported on `report`.
"""

from __future__ import annotations

from typing import cast

from paceline.traces.releases import Half, Release, ReleasePair, ReplayRecipe

# fmt: off
# half, name, licence as stated by the later release, then version, wheel and sha256 of both releases
PINS = (
    (
        "tune",
        "black",
        "MIT",
        ("25.12.0", "black-25.12.0-py3-none-any.whl",
         "48ceb36c16dbc84062740049eef990bb2ce07598272e673c17d1a7720c71c828"),
        ("26.1.0", "black-26.1.0-py3-none-any.whl",
         "1054e8e47ebd686e078c0bb0eaf31e6ce69c966058d122f2c0c950311f9f3ede"),
    ),
    (
        "tune",
        "kombu",
        "BSD-3-Clause",
        ("5.6.2", "kombu-5.6.2-py3-none-any.whl",
         "efcfc559da324d41d61ca311b0c64965ea35b4c55cc04ee36e55386145dace93"),
        ("5.7.0", "kombu-5.7.0-py3-none-any.whl",
         "dede73bff4c89175be382c4203d2f167cf7017c384396ec75c36a1b5678f1587"),
    ),
    (
        "tune",
        "marshmallow",
        "MIT License",
        ("3.26.2", "marshmallow-3.26.2-py3-none-any.whl",
         "013fa8a3c4c276c24d26d84ce934dc964e2aa794345a0f8c7e5a7191482c8a73"),
        ("4.0.0", "marshmallow-4.0.0-py3-none-any.whl",
         "e7b0528337e9990fd64950f8a6b3a1baabed09ad17a0dfb844d701151f92d203"),
    ),
    (
        "tune",
        "networkx",
        "BSD-3-Clause",
        ("3.5", "networkx-3.5-py3-none-any.whl",
         "0030d386a9a06dee3565298b4a734b68589749a544acbb6c412dc9e2489ec6ec"),
        ("3.6", "networkx-3.6-py3-none-any.whl",
         "cdb395b105806062473d3be36458d8f1459a4e4b98e236a66c3a48996e07684f"),
    ),
    (
        "tune",
        "nilearn",
        "BSD-3-Clause",
        ("0.13.1", "nilearn-0.13.1-py3-none-any.whl",
         "2543cea9e2b001c079b7f81d1bff3050576125eb906cf318a9992add9a63c19e"),
        ("0.14.1", "nilearn-0.14.1-py3-none-any.whl",
         "725206484e9fb3f6691f9c2d20204a068759d5072f12055324702ee0cb2bbe8a"),
    ),
    (
        "tune",
        "opentelemetry-sdk",
        "Apache-2.0",
        ("1.39.1", "opentelemetry_sdk-1.39.1-py3-none-any.whl",
         "4d5482c478513ecb0a5d938dcc61394e647066e0cc2676bee9f3af3f3f45f01c"),
        ("1.40.0", "opentelemetry_sdk-1.40.0-py3-none-any.whl",
         "787d2154a71f4b3d81f20524a8ce061b7db667d24e46753f32a7bc48f1c1f3f1"),
    ),
    (
        "tune",
        "pymc",
        "Apache License, Version 2.0",
        ("5.27.1", "pymc-5.27.1-py3-none-any.whl",
         "7a5e663d1b2f9d51bd764ad8da4538b254df78889465f23a136a21d20425e046"),
        ("5.28.0", "pymc-5.28.0-py3-none-any.whl",
         "4f153c121fae8713ebcfd473f0b127ae02d5dfd04dd7ce2c17652715c586fe45"),
    ),
    (
        "tune",
        "sqlfluff",
        "MIT License",
        ("4.0.4", "sqlfluff-4.0.4-py3-none-any.whl",
         "e8b883ec165cb8d08d9f17cca60d831bcc6c193280a13bdc81f9ac84276294c0"),
        ("4.1.0", "sqlfluff-4.1.0-py3-none-any.whl",
         "ae11123ca4a697abadbd2783f85f04e58c36e7dd26ae8024f400efccc6a44631"),
    ),
    (
        "tune",
        "starlette",
        "BSD-3-Clause",
        ("0.52.1", "starlette-0.52.1-py3-none-any.whl",
         "0029d43eb3d273bc4f83a08720b4912ea4b071087a3b48db01b7c839f7954d74"),
        ("1.0.0", "starlette-1.0.0-py3-none-any.whl",
         "d3ec55e0bb321692d275455ddfd3df75fff145d009685eb40dc91fc66b03d38b"),
    ),
    (
        "tune",
        "typer",
        "MIT",
        ("0.25.1", "typer-0.25.1-py3-none-any.whl",
         "75caa44ed46a03fb2dab8808753ffacdbfea88495e74c85a28c5eefcf5f39c89"),
        ("0.26.0", "typer-0.26.0-py3-none-any.whl",
         "859d520a4dc91c075cb370195462b6f7024fceb5d6de5c204bb8b1d51a60ad66"),
    ),
    (
        "report",
        "alembic",
        "MIT",
        ("1.17.2", "alembic-1.17.2-py3-none-any.whl",
         "f483dd1fe93f6c5d49217055e4d15b905b425b6af906746abb35b69c1996c4e6"),
        ("1.18.0", "alembic-1.18.0-py3-none-any.whl",
         "3993fcfbc371aa80cdcf13f928b7da21b1c9f783c914f03c3c6375f58efd9250"),
    ),
    (
        "report",
        "bokeh",
        "BSD-3-Clause",
        ("3.8.2", "bokeh-3.8.2-py3-none-any.whl",
         "5e2c0d84f75acb25d60efb9e4d2f434a791c4639b47d685534194c4e07bd0111"),
        ("3.9.0", "bokeh-3.9.0-py3-none-any.whl",
         "b252bfb16a505f0e0c57d532d0df308ae1667235bafc622aa9441fe9e7c5ce4a"),
    ),
    (
        "report",
        "celery",
        "BSD-3-Clause",
        ("5.6.3", "celery-5.6.3-py3-none-any.whl",
         "0808f42f80909c4d5833202360ffafb2a4f83f4d8e23e1285d926610e9a7afa6"),
        ("5.7.0", "celery-5.7.0-py3-none-any.whl",
         "18310a9c919f9029e4735367484d93e6a25cdfd30afdc474622cc263d9b35f6e"),
    ),
    (
        "report",
        "cirq-core",
        "Apache-2.0",
        ("1.6.1", "cirq_core-1.6.1-py3-none-any.whl",
         "fbc809d7c6a228762ad92bb7870dc16f55b76728fcc7ef4c7aaceb7e5c63e8e6"),
        ("1.7.0", "cirq_core-1.7.0-py3-none-any.whl",
         "9d2e9610b06e2b2b2195184f44c0df4e94f31485831f8e1c6a96c858b7897bce"),
    ),
    (
        "report",
        "djangorestframework",
        "BSD-3-Clause",
        ("3.16.1", "djangorestframework-3.16.1-py3-none-any.whl",
         "33a59f47fb9c85ede792cbf88bde71893bcda0667bc573f784649521f1102cec"),
        ("3.17.0", "djangorestframework-3.17.0-py3-none-any.whl",
         "d84fe85f30b7ac6e8c0076ce9ff635e4eaedca5912f8d7d2926ce448c08533ba"),
    ),
    (
        "report",
        "flax",
        "Apache Software License",
        ("0.11.2", "flax-0.11.2-py3-none-any.whl",
         "61a5f60c27ab4e6420fda7f593f93b5ec1adba629fd33b2f0e52740ab7c04da9"),
        ("0.12.0", "flax-0.12.0-py3-none-any.whl",
         "13dee5f2658e8b51e22cef54b788ddbad1b6e14a9d7c5b6d1ae9c3a0110d645e"),
    ),
    (
        "report",
        "poetry",
        "MIT",
        ("2.2.1", "poetry-2.2.1-py3-none-any.whl",
         "f5958b908b96c5824e2acbb8b19cdef8a3351c62142d7ecff2d705396c8ca34c"),
        ("2.3.0", "poetry-2.3.0-py3-none-any.whl",
         "1f3c8912bac57c4e9a2a523dbed0271784fa696bbfb24d1b4d7931aa29b7906d"),
    ),
    (
        "report",
        "textual",
        "MIT",
        ("7.5.0", "textual-7.5.0-py3-none-any.whl",
         "849dfee9d705eab3b2d07b33152b7bd74fb1f5056e002873cc448bce500c6374"),
        ("8.0.0", "textual-8.0.0-py3-none-any.whl",
         "8908f4ebe93a6b4f77ca7262197784a52162bc88b05f4ecf50ac93a92d49bb8f"),
    ),
    (
        "report",
        "urllib3",
        "MIT",
        ("2.6.3", "urllib3-2.6.3-py3-none-any.whl",
         "bf272323e553dfb2e87d9bfd225ca7b0f467b919d7bbd355436d3fd37cb0acd4"),
        ("2.7.0", "urllib3-2.7.0-py3-none-any.whl",
         "9fb4c81ebbb1ce9531cce37674bbc6f1360472bc18ca9a553ede278ef7276897"),
    ),
    (
        "report",
        "Werkzeug",
        "BSD License",
        ("3.0.6", "werkzeug-3.0.6-py3-none-any.whl",
         "1bc0c2310d2fbb07b1dd1105eba2f7af72f322e1e455f2f93c993bee8c8a5f17"),
        ("3.1.0", "werkzeug-3.1.0-py3-none-any.whl",
         "208a2e31a4a54c8b3d2244f2079ca1d3851629a7a7d546646059c64fb746023a"),
    ),
)
# fmt: on


def replay_python() -> ReplayRecipe:
    """Python only, about 1,450 changed files with 12,700 insertions."""
    pairs: list[ReleasePair] = []
    for half, name, license_name, *releases in PINS:
        before, after = (
            Release(name=name, version=version, artifact=artifact, sha256=sha256)
            for version, artifact, sha256 in releases
        )
        pairs.append(
            ReleasePair(before=before, after=after, license=license_name, half=cast(Half, half))
        )
    return ReplayRecipe(name="replay-python", pairs=tuple(pairs))
