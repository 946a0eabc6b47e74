# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_backstay_global_optspecs
    string join \n r/repo= password-file= password-command= key-file= cache-dir= no-cache o/output= q/quiet v/verbose no-progress limit-upload= limit-download= memory= endpoint= region= ca-file= path-style allow-http connections= h/help V/version
end

function __fish_backstay_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_backstay_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_backstay_using_subcommand
    set -l cmd (__fish_backstay_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c backstay -n "__fish_backstay_needs_command" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_needs_command" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_needs_command" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_needs_command" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_needs_command" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_needs_command" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_needs_command" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_needs_command" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_needs_command" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_needs_command" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_needs_command" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_needs_command" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_needs_command" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_needs_command" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_needs_command" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_needs_command" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_needs_command" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_needs_command" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_needs_command" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_needs_command" -s V -l version -d 'Print version'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "repo" -d 'Work on the repository itself'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "backup" -d 'Make a snapshot'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "accept" -d 'Accept a snapshot that a guard flagged'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "hold" -d 'Keep snapshots from being forgotten, by a named hold, or take a hold off'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "forget" -d 'Forget snapshots that a policy does not keep, or those that are named'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "snapshots" -d 'List snapshots, oldest first'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "show" -d 'Describe a snapshot: counts, sizes, and what could not be captured'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "describe" -d 'Describe a snapshot: counts, sizes, and what could not be captured'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "ls" -d 'List files of a snapshot'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "cat" -d 'Print the contents of a file in a snapshot'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "get" -d 'Show Kubernetes objects of a snapshot, like kubectl'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "find" -d 'Search snapshots for files by name, or for Kubernetes objects by name, kind, labels and namespace'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "diff" -d 'Compare two snapshots: `+` added, `-` removed, `M` other contents or another type'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "history" -d 'Tell what became of a Kubernetes object over all snapshots: first seen, each change with who made it, deleted'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "export" -d 'Write Kubernetes objects of a snapshot as manifests for `kubectl apply -R -f DIR`'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "restore" -d 'Bring a snapshot back'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "completions" -d 'Print a script that teaches a shell to complete this command'
complete -c backstay -n "__fish_backstay_needs_command" -f -a "generate" -d 'Generate files that are made from the command line\'s definition'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -f -a "init" -d 'Make a new repository'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -f -a "info" -d 'Describe the repository: identity, format, features, key slots'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -f -a "stats" -d 'Tell what the repository holds, and what deduplication and compression save'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -f -a "check" -d 'Prove that every snapshot can be restored, and say what is damaged'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -f -a "gc" -d 'Free the space of what no snapshot needs any more'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -f -a "scrub" -d 'Compare every stored object with its own hash; needs no password'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -f -a "copy" -d 'Copy the repository to a second place, or what is new since the last time'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -f -a "heal" -d 'Mend what is damaged or missing here with what a copy of the repository holds'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -f -a "repair" -d 'Mend a damaged repository by what it still holds itself'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and not __fish_seen_subcommand_from init info stats check gc scrub copy heal repair key" -f -a "key" -d 'Manage the passwords and keys that open the repository'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l label -d 'What the first key slot is called [default: user@host]' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l if-absent -d 'Do nothing if the repository exists and the password opens it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from info" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from stats" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l level -d 'How deep to look; each level includes those before' -r -f -a "list\t'Everything needed is there, with the right size'
structure\t'Every snapshot\'s tree is complete too'
bytes\t'The bytes of packs are those that their names say'
full\t'Every record in them is opened too'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l snapshot -d 'Check this snapshot and what it needs' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l max-age -d 'Leave out packs that were verified as deep more recently: 30d, 12h' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l max-duration -d 'Begin no more packs after so much time: 1h, 90m' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l max-bytes -d 'Read at most so many bytes of packs: 100G' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l subset -d 'Read one part of several (3/7), or the share of all bytes that was verified longest ago (10%)' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l read-data -d 'Read, decrypt and hash every byte; the same as --level full'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l grace -d 'How long what is in no use stays readable, such as 24h or 7d. 0s frees at once: for a full disk. A backup that runs at that moment may have to begin anew; nothing that is listed is ever touched' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l max-unused -d 'Unused bytes that may stay in packs which are needed, in percent of the needed ones' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l max-repack -d 'Rewrite at most packs of so many bytes, such as 10G' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l max-duration -d 'Begin to rewrite no pack after so long, such as 30m' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l min-pack-age -d 'Rewrite no pack younger than this unless it is mostly unused: for storage classes that bill a minimum age, such as 30d' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l dry-run -d 'Only say what would be done'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l exclusive -d 'Collect in a store that cannot create an object only if it is absent. Says that no other process uses the repository, and that none that ran before will go on'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l max-age -d 'Leave out packs that were verified as deep more recently: 30d, 12h' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l max-duration -d 'Begin no more packs after so much time: 1h, 90m' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l max-bytes -d 'Read at most so many bytes of packs: 100G' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l subset -d 'Read one part of several (3/7), or the share of all bytes that was verified longest ago (10%)' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from scrub" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l to-password-file -d 'Read the copy\'s password from the first line of this file; only needed when it is made' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l to-password-command -d 'Read the copy\'s password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l to-key-file -d 'The copy\'s secret is the bytes of this file (at least 32 random ones)' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l to-label -d 'What the copy\'s first key slot is called [default: user@host]' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l to-endpoint -d 'Address of the second place\'s store, where it is not the first one\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l to-region -d 'Region of the second place\'s bucket, where it is not the first one\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -s n -l dry-run -d 'Only say how much there is to copy'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l take-over -d 'Make the copy that --repo names a repository of its own: backed up into, and never copied into again'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -s y -l yes -d 'Do not ask before taking over'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from copy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l from -d 'Where the right bytes are: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l from-endpoint -d 'Address of the copy\'s store, where it is not the first one\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l from-region -d 'Region of the copy\'s bucket, where it is not the first one\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l read-data -d 'Read every pack here and compare it with its name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -s n -l dry-run -d 'Only say what is wrong, and what can be mended'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -s y -l yes -d 'Do not ask'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from heal" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -f -a "index" -d 'Make the index anew where segments are missing or damaged, from the packs alone'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -f -a "packs" -d 'Save what is intact in damaged packs into new ones, and retire the damaged ones'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from repair" -f -a "snapshots" -d 'Replace snapshots of which something is lost by what is left of them'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -f -a "list" -d 'List key slots; the one that was used now is marked'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -f -a "add" -d 'Add a password or key; the present one opens the repository for it'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -f -a "remove" -d 'Remove a key slot: its password or key opens the repository no more'
complete -c backstay -n "__fish_backstay_using_subcommand repo; and __fish_seen_subcommand_from key" -f -a "passwd" -d 'Change the password: add a new slot, and remove the one that was used'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -f -a "files" -d 'Back files and directories up'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and not __fish_seen_subcommand_from files cluster" -f -a "cluster" -d 'Back the objects of a Kubernetes cluster up'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l source -d 'Name under which this is backed up over and over [default: HOST:PATH]' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l tag -d 'Label the snapshot; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l host -d 'Name of this machine in the snapshot [default: as the system says]' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l ttl -d 'The snapshot may be forgotten after so long, such as 30d or 12h' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l profile -d 'How data is cut: `database` for files that are changed in place [default: as in the source\'s last snapshot]' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l files-from -d 'Read paths from this file too, one a line, taken as they are; `-` is stdin; may be repeated' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l stdin-filename -d 'Path of that file in the snapshot' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -s e -l exclude -d 'Leave out what matches this pattern; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l exclude-file -d 'Read patterns from this file, one a line, before those of --exclude; may be repeated' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l exclude-if-present -d 'Leave out what is in directories with a file of this name; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l exclude-larger-than -d 'Leave out files that are larger' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l rehash -d 'Read every file, whatever its times say'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l dry-run -d 'Store nothing; tell what would be read'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l stdin-from-command -d 'Back up what the command after `--` prints, as one file; nothing is kept if it fails'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l exclude-caches -d 'Leave out what is in directories that are marked as caches (CACHEDIR.TAG)'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -s x -l one-file-system -d 'Stay on the file systems that the paths are on'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from files" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l source -d 'Name under which this is backed up over and over [default: the uid of the cluster\'s namespace kube-system]' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l tag -d 'Label the snapshot; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l ttl -d 'The snapshot may be forgotten after so long, such as 30d or 12h' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l guard-objects -d 'Flag the snapshot if it has fewer objects than so many per cent of the last accepted one; 0 flags none' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l page-size -d 'Objects that the server gives at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l kubeconfig -d 'Kubeconfig of the cluster [default: KUBECONFIG, ~/.kube/config, or the account of the pod that this runs in]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -s f -l filename -d 'Take the filters of this Velero Backup (YAML); not with other filters' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l include-namespaces -d 'Namespaces, by name or pattern (`shop-*`); `*` for all' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l exclude-namespaces -d 'Namespaces to leave out, by name or pattern' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l include-resources -d 'Resources, by any name that kubectl takes; `*` for all' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l exclude-resources -d 'Resources to leave out' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l include-cluster-resources -d 'Objects without a namespace: true for all, false for none [default: all where all namespaces are chosen, else what a chosen object needs]' -r -f -a "true\t''
false\t''"
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l include-cluster-scoped-resources -d 'Resources without a namespace; not with --include-resources and the like' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l exclude-cluster-scoped-resources -d 'Resources without a namespace to leave out; `*` for all' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l include-namespace-scoped-resources -d 'Resources in namespaces; not with --include-resources and the like' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l exclude-namespace-scoped-resources -d 'Resources in namespaces to leave out; `*` for all' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -s l -l selector -d 'Only objects with these labels (`app=web,tier in (a,b)`), and what they need' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l or-selector -d 'Only objects that one of several selectors chooses: `app=web or app=api`' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l ordered-resources -d 'List these resources first, one after the other, and say which of these objects are missing: `pods=ns1/p1,ns1/p2;pv=v4`' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l dry-run -d 'Store nothing; tell what would be taken'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l accept -d 'Accept the snapshot, whatever the guards say'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand backup; and __fish_seen_subcommand_from cluster" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand accept" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand accept" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand accept" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand accept" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand accept" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand accept" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l reason -d 'Hold for this reason, such as the name of a case or a release' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l release -d 'Take the hold of this name off; others stay' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand hold" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand hold" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand hold" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand hold" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand hold" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-last -d 'Keep the newest N snapshots' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-minutely -d 'Keep the newest snapshot of each of the newest N minutes that have any' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-hourly -d 'The same for hours. Minutes and hours are those of UTC' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-daily -d 'The same for days, from midnight to midnight in --zone' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-weekly -d 'The same for weeks, from Monday (ISO 8601)' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-monthly -d 'The same for months' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-yearly -d 'The same for years' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-within -d 'Keep all snapshots younger than this, such as 30d or 1y6mo, seen from the newest one of the source' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-within-hourly -d 'Keep the newest of each hour, of those younger than this' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-within-daily -d 'Keep the newest of each day, of those younger than this' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-within-weekly -d 'Keep the newest of each week, of those younger than this' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-within-monthly -d 'Keep the newest of each month, of those younger than this' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-within-yearly -d 'Keep the newest of each year, of those younger than this' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-tag -d 'Keep all with this tag; `a,b` means both; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l keep-at-least -d 'Leave at least the newest N accepted snapshots of each source' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l zone -d 'Time zone in which days, weeks, months and years are cut, such as Europe/Berlin' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand forget" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l force -d 'Forget named snapshots even if they are the newest accepted ones of their sources'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l undo -d 'List the named snapshots again, which were forgotten'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l exclusive -d 'Undo in a store that cannot create an object only if it is absent. Says that no other process uses the repository, and that none that ran before will go on'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l dry-run -d 'Only say what would be forgotten, and which rules keep the others'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l expired -d 'Forget what has expired (--ttl of the backup), whatever the rules say'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand forget" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l forgotten -d 'List what was forgotten and can be brought back (`backstay forget --undo`)'
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand snapshots" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand show" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand show" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand show" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand show" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand show" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand show" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand show" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand show" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand show" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand show" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand show" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand show" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand show" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand show" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand show" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand show" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand show" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand show" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand show" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand show" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand show" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand show" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand describe" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand describe" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand describe" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand describe" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand describe" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand describe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand ls" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand ls" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand ls" -s R -l recursive -d 'Everything below the path, at any depth'
complete -c backstay -n "__fish_backstay_using_subcommand ls" -s l -l long -d 'Modes, owners, sizes and times too (the same as `-o wide`)'
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand ls" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand ls" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand ls" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand ls" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand cat" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand cat" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand cat" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand cat" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand cat" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand cat" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand get" -l snapshot -d 'The snapshot: `latest` or the start of an id' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -s n -l namespace -d 'Only in this namespace; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -s l -l selector -d 'Only objects with these labels, such as app=web,tier in (a,b)' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand get" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand get" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand get" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand get" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand get" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand get" -s A -l all-namespaces -d 'In all namespaces'
complete -c backstay -n "__fish_backstay_using_subcommand get" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand get" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand get" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand get" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand get" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand get" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand get" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand find" -l name -d 'Objects with this name, or with names like this pattern' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l kind -d 'Objects of this kind: plural, singular, short name or `plural.group`; several with commas' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -s l -l label -d 'Objects with these labels, such as app=web,tier in (a,b)' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -s n -l namespace -d 'Objects in this namespace; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l snapshot -d 'Search this snapshot only; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand find" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand find" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand find" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand find" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand find" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand find" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand find" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand find" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand find" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand find" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand find" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand find" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -s n -l namespace -d 'Only in this namespace; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l kind -d 'Only these kinds; several with commas' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l kubeconfig -d 'Kubeconfig of the cluster [default: KUBECONFIG, ~/.kube/config, or the account of the pod that this runs in]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand diff" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l metadata -d 'List items too of which only mode, owner, times or attributes changed (`m`)'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l live -d 'Compare with the cluster as it is now'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -s A -l all-namespaces -d 'In all namespaces'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l all-fields -d 'Compare too what the server and its controllers write by themselves: status, managed fields, leases, events'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l show-secrets -d 'Show the values of Secrets, not only that they changed'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand history" -s n -l namespace -d 'The object\'s namespace; objects of the whole cluster have none' -r
complete -c backstay -n "__fish_backstay_using_subcommand history" -l source -d 'Look at the snapshots of this source' -r
complete -c backstay -n "__fish_backstay_using_subcommand history" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand history" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand history" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand history" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand history" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand history" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand history" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand history" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand history" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand history" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand history" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand history" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand history" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand history" -l all-fields -d 'Show too what the server and its controllers write by themselves: status, managed fields'
complete -c backstay -n "__fish_backstay_using_subcommand history" -l show-secrets -d 'Show the values of a Secret, not only that they changed'
complete -c backstay -n "__fish_backstay_using_subcommand history" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand history" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand history" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand history" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand history" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand history" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand export" -l target -d 'Folder to write to; made where it is not there' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand export" -s n -l namespace -d 'Only in this namespace; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -s l -l selector -d 'Only objects with these labels, such as app=web,tier in (a,b)' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand export" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand export" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand export" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand export" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand export" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand export" -l overwrite -d 'Replace files that are there and differ'
complete -c backstay -n "__fish_backstay_using_subcommand export" -s A -l all-namespaces -d 'In all namespaces'
complete -c backstay -n "__fish_backstay_using_subcommand export" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand export" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand export" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand export" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand export" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand export" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -f -a "files" -d 'Restore files and directories of a snapshot'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and not __fish_seen_subcommand_from files cluster" -f -a "cluster" -d 'Restore Kubernetes objects of a snapshot'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -s t -l target -d 'Where to; made if it is missing' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l overwrite -d 'What happens to files that are there' -r -f -a "never\t'They stay as they are'
changed\t'Those with another size or time get the snapshot\'s contents'
always\t'The contents of all are compared, and written where they differ'"
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -s i -l include -d 'Restore only what matches this pattern, and what is inside it; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -s e -l exclude -d 'Do not touch what matches this pattern; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l delete -d 'Remove what the snapshot does not have from the directories that are restored'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -s y -l yes -d 'Do not ask before --delete'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l dry-run -d 'Change nothing; print what would be done'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l verify -d 'Read everything again in the end, and compare it with the snapshot'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l no-owner -d 'Leave owners as they come: everything belongs to whoever restores'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from files" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l plan -d 'Apply this saved plan' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l plan-out -d 'Change nothing; save the plan' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l wait-timeout -d 'How long to wait' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l include-namespaces -d 'Namespaces, or patterns of them [default: all]' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l exclude-namespaces -d 'Namespaces that are left out' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l include-resources -d 'Resources, such as `deployments.apps` or `configmaps` [default: all]' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l exclude-resources -d 'Resources that are left out' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l include-cluster-resources -d 'Objects of the whole cluster [default: with all namespaces, and what a restored object needs]' -r -f -a "true\t''
false\t''"
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -s l -l selector -d 'Only objects whose labels match' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l or-selector -d 'Objects that match one of several selectors: `app=web or app=db`' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l restore-volumes -d 'Persistent volumes of the policy Retain [default: true]; claims come back in any case, EMPTY' -r -f -a "true\t''
false\t''"
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l control-plane-objects -d 'Objects that the control plane makes by itself and that are wanted all the same: `RESOURCE` or `RESOURCE/NAME`' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l namespace-mappings -d 'Other names for namespaces: `old:new`' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l existing-resource-policy -d 'What happens to objects that exist and differ' -r -f -a "none\t'They stay as they are'
update\t'The fields that differ are changed'
recreate\t'As update; what cannot be changed is deleted and created again'"
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l status-include-resources -d 'Resources whose status is restored too; `*` for all' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l status-exclude-resources -d 'Resources whose status is not restored' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l preserve-nodeports -d 'Keep node ports that the cluster had chosen' -r -f -a "true\t''
false\t''"
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l resource-modifiers -d 'Resource modifiers (YAML), or a ConfigMap that holds them' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l storage-class-mapping -d 'Other storage classes: `old:new`' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l image-mapping -d 'Replaces a part of images\' names: `old.example.com=new.example.com`' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l kubeconfig -d 'Kubeconfig of the cluster [default: KUBECONFIG, ~/.kube/config, or the account of the pod that this runs in]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l context -d 'Context of the kubeconfig [default: its current one]' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l source -d 'Only snapshots of this source; may be repeated' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l tag -d 'Only snapshots with this tag; repeated: with all of them' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l at -d 'Only snapshots begun by then, so that `latest` is the newest of that time: RFC 3339, a date, or an age such as 2h' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l dry-run -d 'Change nothing; print the plan, with what the server says to it'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -s y -l yes -d 'Do not ask before objects are changed, or deleted and created again'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l wait -d 'Wait in the end until workloads and claims are ready, and say what is not and why'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand restore; and __fish_seen_subcommand_from cluster" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand completions" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand completions" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand completions" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand completions" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand completions" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and not __fish_seen_subcommand_from docs" -f -a "docs" -d 'Write the reference, the man pages and the completions into a folder'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -s r -l repo -d 'Repository: a path, s3://, gs:// or az://' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l password-file -d 'Read the password from the first line of this file' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l password-command -d 'Read the password from the first line that this shell command prints' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l key-file -d 'Open the repository with the bytes of this file (at least 32 random ones) in place of a password' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l cache-dir -d 'Folder for the local index [default: backstay in $XDG_CACHE_HOME or ~/.cache]' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -s o -l output -d 'How data is printed' -r -f -a "table\t'Columns for people'
wide\t'The same with more columns'
json\t'Documents whose fields stay as they are'
yaml\t'The same documents as YAML'
name\t'Names only, one a line'"
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l limit-upload -d 'Upload at most so many bytes a second, such as 10M' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l limit-download -d 'Download at most so many bytes a second' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l memory -d 'Memory that reading and writing may take' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l endpoint -d 'Address of a store that is compatible with a cloud\'s' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l region -d 'Region of the bucket' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l ca-file -d 'Trust the certificates in this file (PEM) besides the system\'s' -r -F
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l connections -d 'Requests in flight at once' -r
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l no-cache -d 'Keep no local index: build it for this run, and remove it'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -s q -l quiet -d 'Print no progress and no messages but errors and warnings'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -s v -l verbose -d 'Say more on stderr; twice for everything'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l no-progress -d 'Show no progress'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l path-style -d 'Name the bucket in the path, not in the host name'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -l allow-http -d 'Allow http:// addresses of other machines'
complete -c backstay -n "__fish_backstay_using_subcommand generate; and __fish_seen_subcommand_from docs" -s h -l help -d 'Print help (see more with \'--help\')'
