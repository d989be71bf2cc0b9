"""Which files hold secrets, and which hold no text, judged by their names alone. Reads nothing.

Sources of the names: the default block lists of Continue (its security ignore list) and Zed (`disabled_globs`), the
sensitive-file rules of gitleaks and git-secrets, GitHub's `.gitignore` templates, and the manuals of the tools named
beside each group.
"""

from __future__ import annotations

import re
from fnmatch import translate

SECRET_NAMES = (
    # Settings of a process: dotenv, direnv, wrangler.
    ".env*", "*.env", ".dev.vars*", ".flaskenv",
    # Private keys and the stores that hold them: OpenSSL, OpenSSH, PuTTY, GnuPG, Java, Apple, KeePass, age.
    "*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.pkcs12", "*.ppk", "*.jks", "*.keystore", "*.truststore", "*.bks",
    "*.kdb", "*.kdbx", "*.keychain", "*.keychain-db", "*.agekey", "*.gpg", "*.pgp", "*.asc", "*.ovpn", "*.jceks",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "ssh_host_*_key", "secring.*", "*.mobileprovision",
    # Logins of command-line tools: curl, PostgreSQL, MySQL, npm, PyPI, pip, git, RubyGems, Maven, s3cmd, Docker,
    # Terraform, Vault, Heroku, Ansible, SOPS, Rails, Apache.
    ".netrc", "_netrc", ".authinfo*", ".pgpass", "pgpass.conf", ".my.cnf", ".mylogin.cnf", ".npmrc", ".yarnrc.yml",
    ".pypirc", ".git-credentials", ".gem_credentials", "settings-security.xml", ".s3cfg", ".dockercfg",
    ".dockerconfigjson", ".boto", ".terraformrc", "terraform.rc", "*.tfstate", "*.tfstate.*", "*.tfvars",
    "*.tfvars.json", ".vault-token", ".vault_pass*", "vault_pass*", ".htpasswd", "htpasswd", "*.sops.*",
    "proftpdpasswd", ".rhosts", ".remote-sync.json", "sftp-config.json", ".ftpconfig", "filezilla.xml",
    "recentservers.xml", ".lesshst", ".bash_history", ".zsh_history", ".python_history", ".psql_history",
    ".mysql_history", ".node_repl_history",
    # Clusters and clouds: kubectl, gcloud, Azure, Firebase.
    "kubeconfig*", "*.kubeconfig", "service-account*.json", "service_account*.json", "serviceaccount*.json",
    "gcp-key*.json", "application_default_credentials*", "firebase-adminsdk*.json", "*-firebase-adminsdk-*.json",
    "access_tokens.db", "accesstokens.json", "azureprofile.json", "*.publishsettings", "local.settings.json",
    # Files that say what they are.
    "*.secret", "*.secrets", "*.token", "*.credentials", "*.cred", "*.creds",
)  # fmt: skip
"""Globs of a file's own name, in lower case."""

SECRET_STEMS = (
    "credential",
    "secret",
    "password",
    "passwd",
    "apikey",
    "api_key",
    "api-key",
    "htpasswd",
)
"""Files with such a word in their names, if they are data: `secrets.py` is code, `secrets.yaml` is not."""

DATA_ENDINGS = (
    "", "json", "json5", "jsonc", "yaml", "yml", "toml", "ini", "cfg", "conf", "config", "cnf", "xml", "txt", "csv",
    "tsv", "properties", "plist", "enc", "env", "bak", "old", "orig", "backup", "local", "db", "sqlite", "sqlite3",
)  # fmt: skip

SECRET_FOLDERS = frozenset(
    {".ssh", ".gnupg", ".aws", ".azure", ".kube", ".secrets", ".password-store", ".vault"}
)
"""Everything below such a folder is private."""

SECRET_PATHS = (
    ".docker/config.json", ".config/gcloud/", ".config/gh/hosts.yml", ".config/hub", ".config/rclone/rclone.conf",
    ".cargo/credentials", ".gem/credentials", ".m2/settings.xml", ".huggingface/token", ".cache/huggingface/token",
    "config/master.key", ".git/config",
)  # fmt: skip
"""Parts of a path whose last name alone says too little."""

_BINARY = """
png jpg jpeg jpe gif bmp ico icns tif tiff webp avif heic psd ai eps xcf raw cr2
mp3 mp4 m4a m4v wav ogg oga ogv opus flac aac mov avi mkv webm wmv mpg mpeg mid midi
zip gz tgz bz2 tbz2 xz txz zst lz4 lzma 7z rar tar jar war ear whl egg deb rpm apk ipa dmg iso img cab msi pkg
exe dll so dylib a o obj lib pyc pyo pyd class wasm bin dat elf ko dex node pdb ilk exp rlib rmeta
pdf doc docx xls xlsx ppt pptx odt ods odp rtf epub mobi
ttf otf woff woff2 eot pfb
db sqlite sqlite3 mdb accdb dbf parquet arrow feather avro orc h5 hdf5 npy npz pkl pickle joblib mat rds rda
pt pth ckpt safetensors gguf ggml onnx tflite pb mlmodel keras tfrecord
blend fbx glb stl 3ds max unitypackage swf fla
"""

BINARY_ENDINGS = frozenset(_BINARY.split())

_SECRET_NAME = re.compile("|".join(translate(glob) for glob in SECRET_NAMES))
_STEM = re.compile("|".join(map(re.escape, SECRET_STEMS)))


def is_secret_path(path: str) -> bool:
    """Is the file at `path` likely to hold secrets? By its name and the folders that `path` shows, in any case.

    Both `/` and a backslash part folders. Whether the file exists does not matter.
    """
    plain = path.replace("\\", "/").lower()
    *folders, name = plain.split("/")
    if _SECRET_NAME.match(name) or not SECRET_FOLDERS.isdisjoint(folders):
        return True
    if _STEM.search(name) and _ending(name) in DATA_ENDINGS:
        return True
    return any(f"/{part}" in f"/{plain}" for part in SECRET_PATHS)


def is_binary_path(path: str) -> bool:
    """Does the file's ending say that it holds no text?"""
    name = path.replace("\\", "/").rsplit("/", 1)[-1].lower()
    return _ending(name) in BINARY_ENDINGS


def _ending(name: str) -> str:
    """What follows the last dot, unless that dot comes first."""
    return name[1:].rpartition(".")[2] if "." in name[1:] else ""
