"""`python-small`: 40 permissively licensed Python packages, pinned by version and SHA-256.

34 are trained on; 6 whole packages are held out for validation and evals.
"""

from __future__ import annotations

from paceline.corpus.config import CorpusConfig, SourcePackage

HELD_OUT = frozenset({"celery", "luigi", "networkx", "nilearn", "textual", "Werkzeug"})

# fmt: off
# name, version, licence as stated by the package, wheel, sha256
PINS = (
    (
        "celery",
        "5.7.0",
        "BSD-3-Clause",
        "celery-5.7.0-py3-none-any.whl",
        "18310a9c919f9029e4735367484d93e6a25cdfd30afdc474622cc263d9b35f6e",
    ),
    (
        "cinder",
        "29.0.0",
        "Apache Software License",
        "cinder-29.0.0-py3-none-any.whl",
        "da8b1441740fb2dcfd76138607c6a96fc14d2548826741a6246bbd0d73f88860",
    ),
    (
        "dagster",
        "1.13.29",
        "Apache-2.0",
        "dagster-1.13.29-py3-none-any.whl",
        "65f7bf2f52c0c1219cb1ca63a1f0f95a1af83d12e94ebec7598e47ee49889859",
    ),
    (
        "dask",
        "2026.8.0",
        "BSD-3-Clause",
        "dask-2026.8.0-py3-none-any.whl",
        "ccc0c83a189b0398602435189771d28dad7b5773b6089bb8dce14ae732dd782c",
    ),
    (
        "datasets",
        "5.2.0",
        "Apache Software License",
        "datasets-5.2.0-py3-none-any.whl",
        "4be9e2882caaf5db13eadc39e93f3da2a995187b99acebac1595bf6c58dfa927",
    ),
    (
        "diffusers",
        "0.42.1",
        "Apache Software License",
        "diffusers-0.42.1-py3-none-any.whl",
        "9154faa704ce00e0b77f568e0d64786064368528aab5fc14eeea92f87d788014",
    ),
    (
        "distributed",
        "2026.8.0",
        "BSD-3-Clause",
        "distributed-2026.8.0-py3-none-any.whl",
        "3bd8882861a2cf497453f28c6b61135fa8ef2bb1d6885ad3b9f27e887e9c0e01",
    ),
    (
        "Django",
        "6.1.3",
        "BSD-3-Clause",
        "django-6.1.3-py3-none-any.whl",
        "a0530e3fdac55d34ccc5893c36f6c57d7a7083064f3d414537e51473648b3290",
    ),
    (
        "fastapi",
        "0.165.0",
        "MIT",
        "fastapi-0.165.0-py3-none-any.whl",
        "896f48462042bb4f162147eb8fac7e858753dc1f486765709baf105d70e4fc5b",
    ),
    (
        "homeassistant",
        "2026.11.0",
        "Apache-2.0",
        "homeassistant-2026.11.0-py3-none-any.whl",
        "7ca5fbde9dea879ac7723949fc84347aac5182e6309c357b2e4973fd391b00f7",
    ),
    (
        "ipython",
        "9.18.1",
        "BSD-3-Clause",
        "ipython-9.18.1-py3-none-any.whl",
        "997ce9140d374531a61069c70c0f9ef299d6dd3559ea0f94b8af589726e3c1d5",
    ),
    (
        "keras",
        "3.15.1",
        "Apache License 2.0",
        "keras-3.15.1-py3-none-any.whl",
        "836460e480930acbd19bb7a17e62f9ecad40e8a9af9a651fc8d0586a96d27e20",
    ),
    (
        "litestar",
        "2.25.0",
        "MIT License",
        "litestar-2.25.0-py3-none-any.whl",
        "ff16470b6aa3031ea3210bbb474b00b24c636ddfe8e0ee3d09c85aff3058a93f",
    ),
    (
        "luigi",
        "3.8.1",
        "Apache Software License",
        "luigi-3.8.1-py3-none-any.whl",
        "ea974b26157c327ae8f6a6f9e0ddaa09d868ce8a4010f7631c383614e0152318",
    ),
    (
        "mitmproxy",
        "12.3.1",
        "MIT License",
        "mitmproxy-12.3.1-py3-none-any.whl",
        "87afb808ac8d55383dbe6aa30eadeb0fedaeffd26210e7e23c25c9cd43bdb36a",
    ),
    (
        "mlflow",
        "3.18.0",
        "Apache Software License",
        "mlflow-3.18.0-py3-none-any.whl",
        "be7d84ba0d0b12392f5b53260cdb3e6d7b7ef4b80c29da90a89b5a1f6db7102f",
    ),
    (
        "mne",
        "1.13.2",
        "BSD-3-Clause",
        "mne-1.13.2-py3-none-any.whl",
        "36bbdd9fdc68431309a75e9dc6331b9de085cb6836688ac50b7b89f141a83cc3",
    ),
    (
        "moto",
        "5.2.5",
        "Apache-2.0",
        "moto-5.2.5-py3-none-any.whl",
        "eef62cdcf3bfe73e0863743511ba042dfaba04ba3d5ecdcb896a196c693ad528",
    ),
    (
        "music21",
        "10.5.1",
        "BSD-3-Clause",
        "music21-10.5.1-py3-none-any.whl",
        "dc3309498c4c95cebdf8d4f20c868deb6b63bce1d929cad4f51a7ccc982987b1",
    ),
    (
        "networkx",
        "3.7",
        "BSD-3-Clause",
        "networkx-3.7-py3-none-any.whl",
        "e3fd2c13a7814cee3746340d8d7f8598a67f16a58bf47fb7f8793fab6efca1b0",
    ),
    (
        "neutron",
        "29.0.0",
        "Apache-2.0",
        "neutron-29.0.0-py3-none-any.whl",
        "6e998e2e55d233ff757f3ae1d53dd8dfd2cb455a01868e494c22fd6b8b0aba36",
    ),
    (
        "nilearn",
        "0.14.1",
        "BSD-3-Clause",
        "nilearn-0.14.1-py3-none-any.whl",
        "725206484e9fb3f6691f9c2d20204a068759d5072f12055324702ee0cb2bbe8a",
    ),
    (
        "nova",
        "34.0.0",
        "Apache-2.0",
        "nova-34.0.0-py3-none-any.whl",
        "8b46997836961762608e6e46e6d4945325d8a1fb8004e79e552e55839061f10c",
    ),
    (
        "prefect",
        "3.9.1",
        "Apache Software License",
        "prefect-3.9.1-py3-none-any.whl",
        "0c662e26e971b617993eed1f3d02fb8bc3c2dd47bee521b495f6e4dfeb38ae74",
    ),
    (
        "pydantic",
        "2.14.3",
        "MIT",
        "pydantic-2.14.3-py3-none-any.whl",
        "3f7b347782ab7e4cf4c798496ae3a82787d9f21ec12676a9c564355eeef8daa8",
    ),
    (
        "pytest",
        "9.2.0",
        "MIT",
        "pytest-9.2.0-py3-none-any.whl",
        "07acdcf88ec174f907dc01af70bf52d49b014bbab03faeeade31c96b18c2e588",
    ),
    (
        "rich",
        "15.0.0",
        "MIT License",
        "rich-15.0.0-py3-none-any.whl",
        "33bd4ef74232fb73fe9279a257718407f169c09b78a87ad3d296f548e27de0bb",
    ),
    (
        "Scrapy",
        "2.19.0",
        "BSD-3-Clause",
        "scrapy-2.19.0-py3-none-any.whl",
        "44c1ad4b008f1976e946c75b2adce0e448cbfe470c584b1b59469abf270e8013",
    ),
    (
        "sentry-sdk",
        "2.75.0",
        "MIT",
        "sentry_sdk-2.75.0-py3-none-any.whl",
        "9a10e97de2cbd42ad7e4a6e02a0d5af19de9811eb02445077d41ba14c08e170c",
    ),
    (
        "Sphinx",
        "9.2.0",
        "BSD-2-Clause",
        "sphinx-9.2.0-py3-none-any.whl",
        "4c3ec13b612712c0d3ce4cbdd9e3eb91e68577e07a8e31f32f21cf178453578c",
    ),
    (
        "sqlglot",
        "30.30.0",
        "MIT",
        "sqlglot-30.30.0-py3-none-any.whl",
        "06c4c212a7868c7dcff0fd0fda348dd3c5cbad40137b3083a70ecdfe22921cf9",
    ),
    (
        "streamlit",
        "1.67.0",
        "Apache-2.0",
        "streamlit-1.67.0-py3-none-any.whl",
        "f29da87c443bfbdfc52738616e3d65745d438e718da8faf69e2be0da1e52ce64",
    ),
    (
        "sympy",
        "1.14.0",
        "BSD License",
        "sympy-1.14.0-py3-none-any.whl",
        "e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5",
    ),
    (
        "textual",
        "8.2.8",
        "MIT License",
        "textual-8.2.8-py3-none-any.whl",
        "267375fd402dc8d981457212efa71f0e3365fd17bba144ba9bb3ed7563cb374a",
    ),
    (
        "transformers",
        "5.23.0",
        "Apache 2.0 License",
        "transformers-5.23.0-py3-none-any.whl",
        "018e82fd07490ad5bb58414f65e31576033dc7f36bed10c574843f69b90991bf",
    ),
    (
        "Twisted",
        "26.10.0",
        "MIT",
        "twisted-26.10.0-py3-none-any.whl",
        "3732f42af218925a0fe78d6668db55853f7fb532245a89a2669babe7d3000fa8",
    ),
    (
        "wagtail",
        "8.0.1",
        "BSD-3-Clause",
        "wagtail-8.0.1-py3-none-any.whl",
        "1e6ad5c7891a54efce1400e168298b5a2cc343b642cee89c31bf5ec30c98b26c",
    ),
    (
        "Werkzeug",
        "3.1.9",
        "BSD-3-Clause",
        "werkzeug-3.1.9-py3-none-any.whl",
        "6392e50c78460ba618e5b21f08a71f59c99ce99cdc6cf6e3dd7e6ccca8754fab",
    ),
    (
        "xarray",
        "2026.9.0",
        "Apache-2.0",
        "xarray-2026.9.0-py3-none-any.whl",
        "fe349fa871628b1a0a5217af3fe1283a2862d5485156e6eda354fffb81c3bb7c",
    ),
    (
        "zarr",
        "3.4.2",
        "MIT",
        "zarr-3.4.2-py3-none-any.whl",
        "a21530a931ac3123b4a4aa17146d11eb9ace227733650d5efbebbbfe38053428",
    ),
)
# fmt: on


def python_small() -> CorpusConfig:
    """Python only, about 200 MB of source before cleaning."""
    packages = tuple(
        SourcePackage(
            name=name,
            version=version,
            license=license_name,
            artifact=artifact,
            sha256=sha256,
            split="heldout" if name in HELD_OUT else "train",
        )
        for name, version, license_name, artifact, sha256 in PINS
    )
    return CorpusConfig(name="python-small", packages=packages)
