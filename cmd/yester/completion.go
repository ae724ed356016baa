package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// The scripts ask the program for the words that can come next. Nothing that was typed is evaluated. To the program "--" says that no flags
// follow, so what is asked for in its stead is "-".
const (
	bashCompletion = `_yester() {
  local cur=${COMP_WORDS[COMP_CWORD]} words=("${COMP_WORDS[@]:0:COMP_CWORD}")
  case $cur in --) words+=(-) ;; -*) words+=("$cur") ;; esac
  local IFS=$'\n'
  COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o bashdefault -o default -F _yester yester
`
	zshCompletion = `#compdef yester
_yester() {
  local -a words_so_far next
  words_so_far=("${words[@]:0:$((CURRENT-1))}")
  case ${words[CURRENT]} in --) words_so_far+=(-) ;; -*) words_so_far+=("${words[CURRENT]}") ;; esac
  next=("${(@f)$("${words_so_far[@]}" --generate-bash-completion 2>/dev/null)}")
  if [[ -n ${next[1]} ]]; then compadd -- "${next[@]}"; else _files; fi
}
if [[ $funcstack[1] = _yester ]]; then _yester "$@"; else compdef _yester yester; fi
`
)

func (p *program) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a script that completes commands in a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: "Examples:\n  yester completion bash > /etc/bash_completion.d/yester\n" +
			"  yester completion zsh > /usr/local/share/zsh/site-functions/_yester\n" +
			"  yester completion fish > /etc/fish/completions/yester.fish",
		Action: p.runCompletion,
	}
}

func (p *program) runCompletion(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage("give a shell: bash, zsh or fish")
	}
	switch shell := c.Args().First(); shell {
	case "bash":
		fmt.Fprint(p.out, bashCompletion)
	case "zsh":
		fmt.Fprint(p.out, zshCompletion)
	case "fish":
		script, err := c.App.ToFishCompletion()
		if err != nil {
			return err
		}
		fmt.Fprint(p.out, script)
	default:
		return usage("%q is none of bash, zsh, fish", shell)
	}
	return nil
}
