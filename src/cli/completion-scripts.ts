// The shells' side of completion: each script asks the hidden `kiln __complete` for candidates. Only that verb knows
// anything, so a script need not change when a verb does.

/** Shells with a script. */
export const SHELLS = ["bash", "zsh", "fish", "powershell"] as const;
/** One of SHELLS. */
export type Shell = (typeof SHELLS)[number];

/**
 * `kiln __complete WORD...` prints a candidate a line, "value<TAB>description", and last one of ":none" (nothing else
 * fits) and ":files" (the shell's own file names).
 */
export function completionScript(shell: Shell): string {
  return { bash, zsh, fish, powershell }[shell];
}

const bash = `# kiln completion for bash
_kiln() {
  local cur words line directive=":none"
  # Colons are part of image names: take the words as typed, not as COMP_WORDBREAKS cuts them.
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n =: -w words -i cword -c cur
  else
    words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD cur=\${COMP_WORDS[COMP_CWORD]}
  fi
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :*) directive=$line ;;
      *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
    esac
  done < <("\${words[0]}" __complete "\${words[@]:1:cword}" 2>/dev/null)
  if [ "$directive" = ":files" ]; then
    compopt -o filenames 2>/dev/null
    mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
  elif [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == *[=:,/] ]]; then
    compopt -o nospace 2>/dev/null
  fi
  declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"
}
complete -F _kiln kiln
`;

const zsh = `#compdef kiln
# kiln completion for zsh
_kiln() {
  local line directive=":none"
  local -a candidates open
  while IFS= read -r line; do
    case $line in
      :*) directive=$line ;;
      # More of the same word is to follow.
      *[=:,/]$'\\t'*) open+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
      *) candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
    esac
  done < <("\${words[1]}" __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  (( \${#candidates} )) && _describe -t kiln 'kiln' candidates
  (( \${#open} )) && _describe -t kiln 'kiln' open -S ''
  [[ $directive == ":files" ]] && _files
  return 0
}
if [ "$funcstack[1]" = "_kiln" ]; then
  _kiln "$@"
else
  compdef _kiln kiln
fi
`;

const fish = `# kiln completion for fish
function __kiln_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l answers ($words[1] __complete $words[2..-1] 2>/dev/null)
  for line in $answers
    switch $line
      case ':files'
        __fish_complete_path (commandline -ct)
      case ':*'
      case '*'
        echo $line
    end
  end
end
complete -c kiln -f -a '(__kiln_complete)'
`;

const powershell = `# kiln completion for PowerShell
Register-ArgumentCompleter -Native -CommandName kiln -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 | ForEach-Object { "$_" })
  if ($wordToComplete -eq '') { $words += '' }
  $files = $false
  kiln __complete @words 2>$null | ForEach-Object {
    if ($_ -eq ':files') { $files = $true }
    elseif (-not $_.StartsWith(':')) {
      $value, $text = $_ -split "\`t", 2
      if (-not $text) { $text = $value }
      [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $text)
    }
  }
  if ($files) { [System.Management.Automation.CompletionCompleters]::CompleteFilename($wordToComplete) }
}
`;
