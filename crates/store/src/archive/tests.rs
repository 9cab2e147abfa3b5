use std::{fs, io::Read};

use tar::EntryType;

use super::*;
use crate::{Disk, Entry, Faults, Manifest, Name, Result, Store, fixtures::*, manifest::LARGEST};

fn export(store: &Store, entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.export(entries, &mut bytes, &|_| {}).unwrap();
    bytes
}

fn import(store: &Store, archive: &[u8]) -> Result<Vec<Entry>> {
    store.import(archive, None, &|_| {})
}

/// A model with some contents and its archive.
fn sample() -> (Bench, Entry, Vec<u8>) {
    let bench = Bench::in_memory();
    bench.file("m.gguf", model("llama"));
    let entry = bench
        .create(
            "me/m:v1",
            "FROM m.gguf\nSYSTEM s\nPARAMETER seed 1\nLICENSE l",
        )
        .unwrap();
    let archive = export(&bench.store, std::slice::from_ref(&entry));
    (bench, entry, archive)
}

type Item = (EntryType, Vec<u8>, Vec<u8>);

fn items(archive: &[u8]) -> Vec<Item> {
    let mut archive = tar::Archive::new(archive);
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry: tar::Entry<'_, _> = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (
            entry.header().entry_type(),
            entry.path_bytes().into_owned(),
            bytes,
        )
    };
    archive.entries().unwrap().map(read).collect()
}

/// An archive of anything: names are written as they are.
fn pack(items: &[Item]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (kind, name, bytes) in items {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append(&header, &bytes[..]).unwrap();
    }
    archive.into_inner().unwrap()
}

fn regular(name: &str, bytes: impl Into<Vec<u8>>) -> Item {
    (EntryType::Regular, name.as_bytes().to_vec(), bytes.into())
}

fn blob(bytes: &[u8]) -> Item {
    regular(&format!("{BLOBS}{}", Digest::of(bytes).hex()), bytes)
}

/// The index of manifests with names.
fn index_of(manifests: &[(&str, &[u8])]) -> Item {
    let descriptor = |(name, raw): &(&str, &[u8])| Descriptor {
        media_type: crate::MANIFEST_TYPE.to_owned(),
        digest: Digest::of(raw),
        size: raw.len() as u64,
        annotations: [(NAME.to_owned(), (*name).to_owned())].into(),
    };
    let index = Index {
        schema_version: 2,
        media_type: INDEX_TYPE.to_owned(),
        manifests: manifests.iter().map(descriptor).collect(),
    };
    regular(INDEX, serde_json::to_vec(&index).unwrap())
}

fn layout() -> Item {
    regular(LAYOUT, r#"{"imageLayoutVersion":"1.0.0"}"#)
}

#[test]
fn a_model_goes_through_an_archive_unchanged() {
    let (bench, entry, archive) = sample();
    assert_eq!(
        archive,
        export(&bench.store, std::slice::from_ref(&entry)),
        "the same bytes every time"
    );
    let names: Vec<String> = items(&archive)
        .into_iter()
        .map(|(_, name, _)| String::from_utf8(name).unwrap())
        .collect();
    assert_eq!(names[..2], [LAYOUT, INDEX]);
    assert_eq!(
        names[2],
        format!("{BLOBS}{}", entry.manifest.digest().hex())
    );
    assert!(names[3..].is_sorted() && names.len() == 3 + 5);

    let other = Bench::in_memory();
    let imported = import(&other.store, &archive).unwrap();
    assert_eq!(imported.len(), 1);
    assert_eq!(imported[0].name, entry.name);
    assert_eq!(imported[0].manifest, entry.manifest);
    check_sound(&other.store);
    assert_eq!(files(&other.store.layout().blobs()).len(), 5);

    let name: Name = "other".parse().unwrap();
    let renamed = other
        .store
        .import(&archive[..], Some(&name), &|_| {})
        .unwrap();
    assert_eq!(renamed[0].name, name);
    assert_eq!(other.store.list().unwrap().entries.len(), 2);
}

#[test]
fn several_models_share_their_contents() {
    let (bench, entry, _) = sample();
    let child = bench.create("child", "FROM me/m:v1\nSYSTEM t").unwrap();
    let copy = bench.store.copy(&entry.name, &bench.name("copy")).unwrap();
    let entries = [entry, child, copy];
    let archive = export(&bench.store, &entries);
    let other = Bench::in_memory();
    let imported = import(&other.store, &archive).unwrap();
    let of = |entries: &[Entry]| -> Vec<(Name, Digest)> {
        entries
            .iter()
            .map(|e| (e.name.clone(), e.manifest.digest()))
            .collect()
    };
    assert_eq!(of(&imported), of(&entries));
    assert_eq!(items(&archive).len(), 2 + 2 + 6);
    let name = bench.name("x");
    let refused = other.store.import(&archive[..], Some(&name), &|_| {});
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("3 models are in it")
    );
}

/// What other tools write has the blobs first, and directories.
#[test]
fn the_order_of_entries_does_not_count() {
    let (_bench, entry, archive) = sample();
    let mut items = items(&archive);
    items.reverse();
    items.insert(0, (EntryType::Directory, b"blobs/sha256/".to_vec(), vec![]));
    items.insert(0, (EntryType::Directory, b"blobs/".to_vec(), vec![]));
    let other = Bench::in_memory();
    let imported = import(&other.store, &pack(&items)).unwrap();
    assert_eq!(imported[0].manifest, entry.manifest);
    check_sound(&other.store);
}

/// Unpacked and packed again by the system's own tool.
#[test]
fn tar_reads_and_writes_such_archives() {
    let (bench, entry, archive) = sample();
    let file = bench.file("m.tar", &archive);
    let folder = bench.path("unpacked");
    fs::create_dir(&folder).unwrap();
    let tar = |arguments: &[&str]| {
        let mut command = std::process::Command::new("tar");
        command.arg("-C").arg(&folder).args(arguments);
        command.status().is_ok_and(|status| status.success())
    };
    if !tar(&["-xf", file.to_str().unwrap()]) {
        println!("skipped: no tar");
        return;
    }
    let again = bench.path("again.tar");
    let packed = [
        "--format=gnu",
        "-cf",
        again.to_str().unwrap(),
        "blobs",
        INDEX,
        LAYOUT,
    ];
    assert!(tar(&packed));
    let other = Bench::in_memory();
    let imported = import(&other.store, &fs::read(again).unwrap()).unwrap();
    assert_eq!(imported[0].manifest, entry.manifest);
}

/// CVE-2024-45436 and CVE-2024-0406: an archive writes nowhere but where its digests say.
#[test]
fn cve_2024_45436_and_cve_2024_0406_hostile_entries_are_refused() {
    let (_bench, _, archive) = sample();
    let good = items(&archive);
    let link = |kind, name: &str| (kind, name.as_bytes().to_vec(), vec![]);
    let digest = "a".repeat(64);
    let hostile = [
        regular("../escape", "x"),
        regular("../../../../etc/passwd", "x"),
        regular("/etc/passwd", "x"),
        regular("blobs/sha256/../../escape", "x"),
        regular("blobs/sha256/", "x"),
        regular("./blobs/sha256/x", "x"),
        regular("blobs/../index.json", "x"),
        regular("blobs\\sha256\\x", "x"),
        regular(&format!("blobs/sha256/{digest}/"), "x"),
        regular(&format!("blobs/sha256/{}/../x", &digest[..40]), "x"),
        regular("manifests/registry.ollama.ai/library/x/latest", "{}"),
        regular("", "x"),
        regular("blobs/sha512/x", "x"),
        link(EntryType::Symlink, "blobs"),
        link(EntryType::Symlink, &format!("blobs/sha256/{digest}")),
        link(EntryType::Link, &format!("blobs/sha256/{digest}")),
        link(EntryType::Char, "blobs/sha256/null"),
        link(EntryType::Block, "index.json"),
        link(EntryType::Fifo, "oci-layout"),
        link(EntryType::Directory, "../x"),
        link(EntryType::Directory, "blobs/sha256/../../x"),
        link(EntryType::GNUSparse, &format!("blobs/sha256/{digest}")),
        (
            EntryType::GNULongName,
            b"././@LongLink".to_vec(),
            b"../x\0".to_vec(),
        ),
        (EntryType::XHeader, b"x".to_vec(), b"11 path=/x\n".to_vec()),
        (
            EntryType::XGlobalHeader,
            b"x".to_vec(),
            b"11 path=/x\n".to_vec(),
        ),
        (EntryType::new(b'?'), b"index.json".to_vec(), vec![]),
    ];
    for item in hostile {
        for at in [0, good.len()] {
            let other = Bench::in_memory();
            let mut items = good.clone();
            items.insert(at, item.clone());
            let result = import(&other.store, &pack(&items));
            assert!(result.is_err(), "{:?}", String::from_utf8_lossy(&item.1));
            assert!(other.store.list().unwrap().entries.is_empty());
            check_sound(&other.store);
            // Nothing beside the store.
            assert_eq!(files(other.folder.path()), [other.store.layout().root()]);
        }
    }
}

#[test]
fn cve_2024_45436_and_cve_2024_0406_entries_that_occur_twice_are_refused() {
    let (_bench, _, archive) = sample();
    let good = items(&archive);
    for at in 0..good.len() {
        let other = Bench::in_memory();
        let mut items = good.clone();
        items.push(good[at].clone());
        let error = import(&other.store, &pack(&items)).unwrap_err().to_string();
        assert!(error.contains("is in it twice"), "{at}: {error}");
        assert!(other.store.list().unwrap().entries.is_empty());
    }
}

#[test]
fn contents_that_are_not_what_was_promised() {
    let (bench, entry, archive) = sample();
    let good = items(&archive);
    let raw = entry.manifest.raw();
    let swapped = |at: usize, item: Item| {
        let mut items = good.clone();
        items[at] = item;
        items
    };
    let name_of = |at: usize| String::from_utf8(good[at].1.clone()).unwrap();
    let mut other_bytes = good[3].2.clone();
    other_bytes[0] ^= 1;
    let mut longer = good[3].2.clone();
    longer.push(0);
    let without = |at: usize| [&good[..at], &good[at + 1..]].concat();
    let pinned = index_of(&[("a", raw), ("A", raw)]);
    let sized = {
        let mut layers = entry.manifest.layers.clone();
        layers[0].size += 1;
        Manifest::build(entry.manifest.config.clone(), layers).unwrap()
    };
    let resized = [
        vec![layout(), index_of(&[("a", sized.raw())]), blob(sized.raw())],
        good[3..].to_vec(),
    ]
    .concat();
    let text = |text: &str| regular(INDEX, text);
    let cases: Vec<(&str, Vec<Item>)> = vec![
        (
            "expected sha256:",
            swapped(3, regular(&name_of(3), other_bytes)),
        ),
        ("bytes, found", swapped(3, regular(&name_of(3), longer))),
        ("expected sha256:", swapped(2, regular(&name_of(2), "{}"))),
        ("bytes, found", resized),
        (
            "no model in it has the content",
            [good.clone(), vec![blob(b"more")]].concat(),
        ),
        ("is missing", without(4)),
        ("is missing", without(2)),
        ("no oci-layout or no index.json", without(0)),
        ("no oci-layout or no index.json", without(1)),
        ("no oci-layout or no index.json", vec![]),
        ("two models are called", swapped(1, pinned)),
        ("no model is in it", swapped(1, index_of(&[]))),
        (
            "invalid model name",
            swapped(1, index_of(&[("../../x", raw)])),
        ),
        (
            "no model's manifest",
            swapped(
                1,
                text(
                    &String::from_utf8(good[1].2.clone())
                        .unwrap()
                        .replace("manifest.v2+json", "manifest.list.v2+json"),
                ),
            ),
        ),
        (
            "no name in it",
            swapped(
                1,
                text(
                    &String::from_utf8(good[1].2.clone())
                        .unwrap()
                        .replace(NAME, "other"),
                ),
            ),
        ),
        (
            "hexadecimal digits",
            swapped(
                1,
                text(
                    &String::from_utf8(good[1].2.clone())
                        .unwrap()
                        .replace("sha256:", "sha256:../"),
                ),
            ),
        ),
        ("index.json: ", swapped(1, text("{"))),
        ("index.json: ", swapped(1, text(&"[".repeat(10_000)))),
        (
            "schemaVersion 2",
            swapped(1, text(r#"{"schemaVersion":1,"manifests":[]}"#)),
        ),
        (
            "image layout 1",
            swapped(0, regular(LAYOUT, r#"{"imageLayoutVersion":"2.0.0"}"#)),
        ),
        ("larger than", swapped(0, regular(LAYOUT, vec![b' '; 5000]))),
        (
            "larger than",
            swapped(1, regular(INDEX, vec![b' '; (1 << 20) + 1])),
        ),
        (
            "is no valid manifest",
            vec![layout(), index_of(&[("a", b"{}")]), blob(b"{}")],
        ),
    ];
    for (expected, items) in cases {
        let other = Bench::in_memory();
        let error = import(&other.store, &pack(&items)).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(other.store.list().unwrap().entries.is_empty());
        check_sound(&other.store);
    }
    // A manifest larger than any: by what the index says, and by what there is.
    let large = vec![b' '; LARGEST as usize + 1];
    for items in [
        vec![layout(), index_of(&[("a", &large)])],
        vec![layout(), blob(&large), index_of(&[("a", &large)])],
    ] {
        let error = import(&bench.store, &pack(&items)).unwrap_err().to_string();
        assert!(error.contains("larger than"), "{error}");
    }
    let sized = String::from_utf8(index_of(&[("a", &large)]).2)
        .unwrap()
        .replace("8388609", "5");
    let items = vec![layout(), regular(INDEX, sized), blob(&large)];
    assert!(import(&bench.store, &pack(&items)).is_err());
}

#[test]
fn an_archive_that_ends_early_goes_on_later() {
    let (_bench, entry, archive) = sample();
    // The end of an archive is 1024 bytes of zeros, which readers do without.
    for end in (0..archive.len() - 1024).step_by(100) {
        let other = Bench::in_memory();
        let result = import(&other.store, &archive[..end]);
        assert!(result.is_err(), "{end} of {}", archive.len());
        assert!(other.store.list().unwrap().entries.is_empty());
        check_sound(&other.store);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let kept = files(&other.store.layout().blobs());
            let inode = |path: &std::path::PathBuf| fs::metadata(path).unwrap().ino();
            let before: Vec<u64> = kept.iter().map(inode).collect();
            let imported = import(&other.store, &archive).unwrap();
            assert_eq!(imported[0].manifest, entry.manifest);
            assert_eq!(
                kept.iter().map(inode).collect::<Vec<_>>(),
                before,
                "written once"
            );
        }
    }
}

#[test]
fn a_damaged_content_is_not_exported_and_a_pin_holds() {
    let (bench, entry, archive) = sample();
    let path = bench.store.layout().blob(&entry.manifest.layers[0].digest);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = bench
        .store
        .export(std::slice::from_ref(&entry), Vec::new(), &|_| {})
        .unwrap_err();
    assert!(error.to_string().contains("damaged"), "{error}");
    fs::remove_file(&path).unwrap();
    let error = bench
        .store
        .export(&[entry], Vec::new(), &|_| {})
        .unwrap_err();
    assert!(matches!(error, Error::MissingBlob { .. }), "{error}");

    let other = Bench::in_memory();
    other.file("m.gguf", model("other"));
    let pinned = other.create("me/m:v1", "FROM m.gguf").unwrap();
    let mut pins = other.store.pins().unwrap();
    pins.insert(&pinned);
    other.store.set_pins(&pins).unwrap();
    let blobs = files(&other.store.layout().blobs()).len();
    let refused = import(&other.store, &archive);
    assert!(matches!(refused, Err(Error::Pinned { .. })));
    assert_eq!(
        files(&other.store.layout().blobs()).len(),
        blobs,
        "before anything is copied"
    );
}

/// Whichever operation fails, names point at whole models, no draft stays, and the next attempt succeeds.
#[test]
fn a_failure_anywhere_leaves_the_store_sound() {
    let (_bench, entry, archive) = sample();
    for fail_at in 0.. {
        let other = Bench::in_memory();
        let faults = Faults::after(fail_at);
        let result = import(&other.on(Disk::with_faults(faults.clone())), &archive);
        if let Err(error) = &result {
            assert!(error.is_full_disk(), "{fail_at}: {error}");
        }
        check_sound(&other.store);
        let retried = import(&other.store, &archive).unwrap();
        assert_eq!(retried[0].manifest, entry.manifest);
        check_sound(&other.store);
        if faults.operations() <= u64::from(fail_at) {
            assert!(result.is_ok() && fail_at > 20, "{fail_at} operations");
            break;
        }
    }
}

/// Above 8 GiB a size has no octal form of eleven digits.
#[test]
fn large_sizes_are_written_as_gnu_tar_does() {
    let header = write::header(LAYOUT, 9 << 30).unwrap();
    assert_eq!(header.entry_size().unwrap(), 9 << 30);
    assert_eq!(header.as_old().size[0], 0x80);
}

proptest::proptest! {
    /// Whatever the bytes are, nothing panics, and nothing gets a name that was not in the archive.
    #[test]
    fn damaged_archives_name_nothing(at in 0_usize..12_000, byte: u8) {
        let (_bench, entry, mut archive) = sample();
        let at = at % archive.len();
        archive[at] = byte;
        let other = Bench::in_memory();
        if let Ok(entries) = import(&other.store, &archive) {
            proptest::prop_assert!(entries[0].manifest == entry.manifest);
        }
        check_sound(&other.store);
    }
}
