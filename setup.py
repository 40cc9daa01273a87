"""Where the packages are; pyproject.toml has the rest.

training/ and targets/ stand at the top of the repository and are installed in bitat_deploy, as
bitat_deploy.training and bitat_deploy.targets.
"""

from setuptools import find_namespace_packages, setup

FOLDERS = {
    "bitat_deploy": "bitat_deploy",
    "bitat_deploy.training": "training",
    "bitat_deploy.targets": "targets",
}
inner = [
    f"{package}.{name}"
    for package, folder in FOLDERS.items()
    for name in find_namespace_packages(folder)
]
setup(package_dir=FOLDERS, packages=[*FOLDERS, *inner])
