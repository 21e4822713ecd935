"""Where the single executable begins."""

from socksfusion.cli.agent_program import main

main()
