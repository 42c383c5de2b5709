//! What is fetched and then runs: installers, packages, repositories.

use sensor_tests::suite::Case;

use crate::script::{self, Program, Script};

const GIT_HTTP: &[Program] = &[("git-http.py", include_str!("programs/git-http.py"))];

/// Serves the directory `served` on $H:8080.
macro_rules! served {
    ($script:literal) => {
        concat!(
            "mkdir served; python3 -m http.server --bind $H --directory served 8080 2>log & up 8080\n",
            $script
        )
    };
}

/// Commits to a repository, pushes, and clones it again; $1 is its URL, `origin` its directory.
macro_rules! git {
    ($script:literal) => {
        concat!(
            r#"git config --global user.name n; git config --global user.email e
git config --global init.defaultBranch m
git init -q --bare repositories/origin; git -C repositories/origin config http.receivepack true
printf '#!/bin/sh\nid >hooked\n' >repositories/origin/hooks/post-update; chmod +x repositories/origin/hooks/post-update
push_and_clone() {
  git clone -q $1 one; cd one; seq 20000 >file; git add file; git commit -qm first; git push -q; cd ..
  git clone -q $1 two; cmp one/file two/file; grep uid= repositories/origin/hooked
}
"#,
            $script
        )
    };
}

const SCRIPTS: &[Script] = &[
    (
        "installer",
        &["python3", "curl", "tar"],
        &[],
        served!(
            r#"mkdir package; id >package/file; tar -czf served/p.tgz package; rm -r package
cat >served/i.sh <<'END'
set -e; uname -s | tr A-Z a-z
for argument; do case $argument in --prefix=*) cd "${argument#*=}";; esac; done
curl -sf http://$H:8080/p.tgz | tar -xz; sh -c 'cat package/file' >installed
END
did() { grep uid= $PWD/installed; rm installed; }
curl -sfL http://$H:8080/i.sh | sh; did
curl -sfL http://$H:8080/i.sh | bash -s -- --prefix=$PWD; did
bash <(curl -sf http://$H:8080/i.sh) --prefix=$PWD; did
bash -c "$(curl -sf http://$H:8080/i.sh)" "" --prefix=$PWD; did"#
        ),
    ),
    (
        "other_installers",
        &["python3", "curl", "wget", "busybox"],
        &[],
        served!(
            r#"echo 'id >installed; ls / | wc -l' >served/i.sh
did() { grep uid= $PWD/installed; rm installed; }
wget -qO- http://$H:8080/i.sh | sh; did
busybox wget -qO- http://$H:8080/i.sh | busybox sh; did
echo 'import subprocess; subprocess.run("id >installed", shell=True, check=True)' >served/i.py
curl -sf http://$H:8080/i.py | python3; did
curl -sf http://$H:8080/i.py | python3 - --yes; did"#
        ),
    ),
    (
        "apt",
        &["python3", "apt-get", "dpkg-deb"],
        &[],
        served!(
            r#"mkdir -p tree/DEBIAN tree/usr/share state/lists/partial cache/archives/partial to
id >tree/usr/share/proof
printf '%s: %s\n' Package some Version 1 Architecture all Maintainer n Description d >tree/DEBIAN/control
dpkg-deb --build tree served/some_1_all.deb
{ cat tree/DEBIAN/control; echo "Filename: ./some_1_all.deb"; echo "Size: $(stat -c %s served/some_1_all.deb)"
  echo "SHA256: $(sha256sum <served/some_1_all.deb | cut -d' ' -f1)"; } >served/Packages
echo "deb [trusted=yes] http://$H:8080 ./" >sources; touch status
apt() { apt-get -qq -o Dir::State=$PWD/state -o Dir::State::status=$PWD/status -o Dir::Cache=$PWD/cache \
  -o Dir::Etc::SourceList=$PWD/sources -o Dir::Etc::SourceParts=- -o APT::Sandbox::User=root "$@"; }
apt update; apt download some; dpkg-deb -x some_1_all.deb to; grep uid= to/usr/share/proof"#
        ),
    ),
    (
        "pip",
        &["python3"],
        &[],
        // Of its source, so that it has to be built.
        served!(
            r#"mkdir -p some-1 served/some; cat >some-1/pyproject.toml <<'END'
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
END
cat >some-1/backend.py <<'END'
import subprocess, zipfile
NAME, INFO = "some-1-py3-none-any.whl", "some-1.dist-info/"
def build_wheel(directory, *_):
    with zipfile.ZipFile(f"{directory}/{NAME}", "w") as wheel:
        wheel.writestr("some.py", f"proof = {subprocess.check_output('id', text=True)!r}")
        wheel.writestr(INFO + "METADATA", "Metadata-Version: 2.1\nName: some\nVersion: 1\n")
        wheel.writestr(INFO + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(INFO + "RECORD", "".join(f"{name},,\n" for name in wheel.namelist()))
    return NAME
END
printf 'Metadata-Version: 2.1\nName: some\nVersion: 1\n' >some-1/PKG-INFO
tar -czf served/some/some-1.tar.gz some-1; echo '<a href="some-1.tar.gz">some-1.tar.gz</a>' >served/some/index.html
# The pip that comes with python3-venv, without making one.
export PYTHONPATH=$(python3 -c 'import ensurepip,glob,os
places = ["/usr/share/python-wheels", os.path.dirname(ensurepip.__file__) + "/_bundled"]
print(next(wheel for place in places for wheel in glob.glob(place + "/pip-*.whl")))')
python3 -m pip install -q --no-cache-dir --disable-pip-version-check --root-user-action=ignore --target=to \
  --index-url http://$H:8080/ --trusted-host $H some
grep uid= to/some.py"#
        ),
    ),
    (
        "npm",
        &["python3", "npm"],
        &[],
        served!(
            r#"mkdir package; cat >package/package.json <<'END'
{"name": "some", "version": "1.0.0", "scripts": {"postinstall": "id >proof"}}
END
tar -czf served/some.tgz package; echo '{"name": "ours", "version": "1.0.0"}' >package.json
npm install --no-audit --no-fund --offline=false --registry http://$H:8080/ http://$H:8080/some.tgz
test -s node_modules/some/package.json; npm rebuild --foreground-scripts; grep uid= node_modules/some/proof"#
        ),
    ),
    (
        "git_http",
        &["python3", "git"],
        GIT_HTTP,
        git!("python3 git-http.py $H 8080 $PWD/repositories 2>log & up 8080; push_and_clone http://$H:8080/origin"),
    ),
    (
        "git_daemon",
        &["git"],
        &[],
        git!(
            "git daemon --listen=$H --base-path=$PWD/repositories --export-all --enable=receive-pack & up 9418
push_and_clone git://$H/origin"
        ),
    ),
    (
        "git_daemon_for_each_connection",
        &["git", "tcpserver"],
        &[],
        git!(
            "tcpserver -q $H 9418 git daemon --inetd --base-path=$PWD/repositories --export-all --enable=receive-pack &
up 9418; push_and_clone git://$H/origin"
        ),
    ),
    (
        "rsync_daemon",
        &["rsync", "tcpserver"],
        &[],
        r#"seq 20000 >original; mkdir there
cat >rsyncd.conf <<END
use chroot = no
[files]
path = $PWD/there
read only = no
uid = 0
gid = 0
post-xfer exec = id >>hooked
END
rsync --daemon --no-detach --config=rsyncd.conf --address=$H & up 873
tcpserver -q $H 8730 rsync --daemon --config=rsyncd.conf & up 8730
rsync original rsync://$H/files/; cmp original there/original
rsync rsync://$H:8730/files/original copy; cmp original copy; until_said uid= hooked"#,
    ),
];

/// All cases of this family.
pub fn cases() -> Vec<Case> {
    script::cases("download", SCRIPTS)
}
