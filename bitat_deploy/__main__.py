"""``python -m bitat_deploy``: the command line, where its program is not on the path."""

from bitat_deploy.cli import main

if __name__ == "__main__":  # processes that work for us import this module too
    main()
