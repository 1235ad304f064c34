#!/bin/bash
# fresh_machine.sh ROOT PACKAGES COMMAND…: run a command as root on a machine that has this one's programs and nothing else.
# ROOT becomes its root folder: an empty /etc, /var, /opt and /root, and /usr as an overlay, so that this machine stays
# as it is. PACKAGES is a folder of Python packages, seen read-only at /packages. Needs root, unshare and overlayfs.
set -euo pipefail
root=$1 packages=$2
shift 2
mkdir -p "$root"/{etc,var/lib,var/tmp,opt,home,run,tmp,proc,sys,dev,usr,packages,.changes/usr,.work/usr}
mkdir -p -m 700 "$root"/root
chmod 1777 "$root"/tmp "$root"/var/tmp
for name in bin sbin lib lib64; do ln -sfn usr/$name "$root"/$name; done
cp -a /etc/ld.so.cache /etc/ld.so.conf /etc/nsswitch.conf /etc/pam.d /etc/security /etc/login.defs /etc/alternatives "$root"/etc/
printf 'root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n' >"$root"/etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root"/etc/group
printf 'root:*:19000:0:99999:7:::\n' >"$root"/etc/shadow
printf '127.0.0.1 localhost\n' >"$root"/etc/hosts
export root packages
exec unshare --mount --fork --pid --kill-child --propagation private bash -euc '
mount -t overlay overlay -o "lowerdir=/usr,upperdir=$root/.changes/usr,workdir=$root/.work/usr" "$root/usr"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount --bind -o ro "$packages" "$root/packages"
exec chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
' bash "$@"
