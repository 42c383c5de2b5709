# Starts an sshd on port 22 of $H, with keys of its own, that lets this user in; `ssh -F client host` logs in there.
for key in host user; do ssh-keygen -q -t ed25519 -N '' -f $key; done
mkdir -p /run/sshd
cat >sshd_config <<END
ListenAddress $H:22
HostKey $PWD/host
AuthorizedKeysFile $PWD/user.pub
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
END
cat >client <<END
Host *
User root
IdentityFile $PWD/user
IdentitiesOnly yes
StrictHostKeyChecking no
UserKnownHostsFile $PWD/known
LogLevel ERROR
Host host hop
HostName $H
END
"$(command -v sshd)" -D -f $PWD/sshd_config -E sshd.log &
up 22
